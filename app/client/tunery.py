"""``Tunery`` and ``AsyncTunery``: a server, as objects."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from types import TracebackType
from typing import Any, Generic, Self

from app.client import asking, data_files
from app.client.address import find_address
from app.client.awaiting import AwaitingTransport
from app.client.blocking import BlockingTransport
from app.client.connection import Connection
from app.client.files import FileLike, Files
from app.client.jobs import Jobs
from app.client.models import Models
from app.client.operation import Resource, TransportT, as_json, id_of, iteration, operation, read
from app.client.transport import TIMEOUT_SECONDS
from app.job.schemas import JobModelOut, JobOut
from app.model.schemas import ModelOut
from app.prediction.schemas import PredictResponse, TokenOut

AskedModel = str | ModelOut | JobModelOut | JobOut
"""A finished model, a checkpoint of it, or the job that made it: the object, or its id."""


@dataclass(frozen=True)
class WrittenText:
    """A piece of a text that is being written; the last one has no text, but the whole prediction."""

    text: str
    tokens: list[TokenOut] = field(default_factory=list)
    prediction: PredictResponse | None = None


class _Client(Resource[TransportT], Generic[TransportT]):
    """What both clients are. Errors are those of ``app.client.errors``."""

    def __init__(self, connection: Connection, transport: TransportT) -> None:
        super().__init__(connection, transport)
        self.url = transport.url
        self.files: Files[TransportT] = Files(connection, transport)
        self.jobs: Jobs[TransportT] = Jobs(connection, transport)
        self.models: Models[TransportT] = Models(connection, transport)

    @operation
    async def predict(self, /, model: AskedModel, inputs: Any, **parameters: Any) -> PredictResponse:
        """Ask a finished model about one input, or a list of any length.

        An input is a text, ``{"text", "text_pair"}``, ``{"question", "context"}``, ``{"tokens"}`` or ``{"messages"}``; parameters
        are ``top_k``, ``threshold``, ``max_new_tokens`` and the others of docs/api.md. ``predictions`` has a list for each input.
        """
        several = as_json(inputs) if isinstance(inputs, Sequence) and not isinstance(inputs, str) else [as_json(inputs)]
        return read(PredictResponse, await asking.ask(self._connection, id_of(model), several, parameters=parameters))

    @iteration
    async def predict_stream(self, /, model: AskedModel, text: Any, **parameters: Any) -> AsyncIterator[WrittenText]:
        """A text as a model writes it. Who stops iterating stops the model."""
        answers = asking.stream_answer(self._connection, id_of(model), as_json(text), parameters=parameters)
        try:
            async for kind, document in answers:
                if kind == "piece":
                    tokens = [read(TokenOut, token) for token in document["tokens"]]
                    yield WrittenText(document["text"], tokens)
                else:
                    yield WrittenText("", prediction=read(PredictResponse, document))
        finally:
            await answers.aclose()

    @operation
    async def predict_batch(
        self,
        /,
        model: AskedModel,
        file: FileLike | PathLike[str] | bytes,
        *,
        parameters: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        **spec: Any,
    ) -> JobOut:
        """A job that predicts every row of a file; a path or bytes are uploaded first. Its one result file has a line for each row.

        ``spec`` are ``columns``, ``priority``, ``max_runtime_seconds`` and ``metadata``.
        """
        file_id = await data_files.file_id_of(self._connection, file)
        body = {"model": id_of(model), "file": file_id, "parameters": dict(parameters or {}), **as_json(dict(spec))}
        answer = await self._connection.make_job("/predict/batch", body, idempotency_key=idempotency_key)
        return read(JobOut, answer)

    @operation
    async def is_ready(self) -> bool:
        """Whether the server is there and can run jobs and answer predictions."""
        return await self._connection.answers()

    @operation
    async def close(self) -> None:
        """Close the connections; ``with`` does it."""
        await self._connection.transport.close()


class Tunery(_Client[BlockingTransport]):
    """A server; methods return when it has answered. May be shared by threads.

    ``url`` and ``api_key`` default to ``TUNERY_URL`` (else this machine's port 8000) and ``TUNERY_API_KEY``. What does no harm to
    repeat is repeated ``max_retries`` times after a broken connection, and when the server says when to ask again. A silence of
    ``timeout_seconds`` is an error; uploads, downloads and generated texts have longer ones.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        max_retries: int = 2,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        transport = BlockingTransport(find_address(url, api_key=api_key))
        super().__init__(Connection(transport, max_retries=max_retries, timeout_seconds=timeout_seconds), transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncTunery(_Client[AwaitingTransport]):
    """The same for asyncio: methods are awaited, and iterated with ``async for``."""

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        max_retries: int = 2,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        transport = AwaitingTransport(find_address(url, api_key=api_key))
        super().__init__(Connection(transport, max_retries=max_retries, timeout_seconds=timeout_seconds), transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
