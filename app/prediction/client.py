"""The API's line to the predictor: one asynchronous DEALER per process, shared by all requests.

A predictor that dies is noticed by its connection's end, at once; one that hangs, by its silence. Either way callers get
``Unavailable`` and are not kept waiting, and the connection comes back by itself.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final, NotRequired, TypedDict, Unpack

import msgspec
import structlog
import zmq
import zmq.asyncio
from zmq.utils.monitor import parse_monitor_message

from app.config import get_settings
from app.errors import Unavailable
from app.prediction.answers import Answers
from app.prediction.sampling import sampling_of
from app.prediction.schemas import PredictParameters
from app.prediction.wire import (
    MAX_MESSAGE_BYTES,
    Answer,
    Cancel,
    Failure,
    Piece,
    Ping,
    Pong,
    Predict,
    Prediction,
    Question,
    decode_answer,
    encode,
)

log = structlog.get_logger(__name__)

CONNECT_SECONDS: Final = 1.0
"""How long a question waits for the connection, and a ping for its pong."""
SILENCE_SECONDS: Final = 5.0
"""A predictor that owes an answer and says nothing for so long hangs. While it loads a large vocabulary the interpreter
lock may be held for a second or two."""
PING_SECONDS: Final = 1.0
RETRY_AFTER_SECONDS: Final = 2.0


class Asking(TypedDict):
    """Whom to ask, and how."""

    model_id: str
    folder: str
    manifest_sha256: str
    timeout_seconds: float
    words: NotRequired[list[list[tuple[int, int]] | None] | None]
    parameters: NotRequired[PredictParameters]


class PredictorClient:
    """Questions and answers over one connection. Must be made and used on one running event loop."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        self._pending: dict[int, Answers] = {}
        self._connected = asyncio.Event()
        self._heard_at = time.monotonic()
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)  # nothing is queued for a predictor that is not there
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 100)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self._socket.connect(address)
        self._tasks = [
            asyncio.create_task(step()) for step in (self._read, self._watch_connection, self._watch_silence)
        ]

    async def predict(self, inputs: Sequence[tuple[str, str | None]], **asking: Unpack[Asking]) -> Prediction | Failure:
        """Ask the predictor. Raises Unavailable if it is not there, goes away, or takes too long."""
        answers = self._predict(inputs, asking, in_pieces=False)
        async with contextlib.aclosing(answers):
            answer = await anext(answers)
        if isinstance(answer, Piece):
            raise TypeError("a piece answered a question that wanted none")
        return answer

    def stream(
        self, inputs: Sequence[tuple[str, str | None]], **asking: Unpack[Asking]
    ) -> AsyncGenerator[Piece | Prediction | Failure]:
        """Ask for one text as it comes: pieces of it, and last a prediction or a failure.

        Pieces that are not taken in time come merged. Raises as ``predict`` does, between any two of them. Closing the
        generator, or cancelling who waits for it, tells the predictor to stop.
        """
        return self._predict(inputs, asking, in_pieces=True)

    async def _predict(
        self, inputs: Sequence[tuple[str, str | None]], asking: Asking, *, in_pieces: bool
    ) -> AsyncGenerator[Piece | Prediction | Failure]:
        timeout_seconds, parameters = asking["timeout_seconds"], asking.get("parameters") or PredictParameters()
        question = Predict(
            request_id=next(self._ids),
            model_id=asking["model_id"],
            folder=asking["folder"],
            manifest_sha256=asking["manifest_sha256"],
            inputs=list(inputs),
            words=asking.get("words"),
            timeout_ms=timeout_seconds * 1000,
            function_to_apply=parameters.function_to_apply,
            top_k=parameters.top_k,
            threshold=parameters.threshold,
            sampling=sampling_of(parameters),
            stream=in_pieces,
            max_answer_len=parameters.max_answer_len,
            handle_impossible_answer=parameters.handle_impossible_answer,
        )
        answers = self._ask(question, timeout_seconds=timeout_seconds)
        try:
            async with contextlib.aclosing(answers):
                async for answer in answers:
                    if isinstance(answer, Pong):
                        raise TypeError("a pong answered a prediction")
                    yield answer
        except TimeoutError as error:
            raise Unavailable(
                f"The model did not answer within {timeout_seconds:g} seconds.",
                code="prediction_timeout",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            ) from error

    async def ping(self) -> Pong | None:
        """What the predictor says of itself; None if it does not answer within a second."""
        with contextlib.suppress(TimeoutError, Unavailable):
            answers = self._ask(Ping(request_id=next(self._ids)), timeout_seconds=CONNECT_SECONDS)
            async with contextlib.aclosing(answers):
                answer = await anext(answers)
            return answer if isinstance(answer, Pong) else None
        return None

    async def close(self) -> None:
        """Leave; callers still waiting get Unavailable."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fail_all()
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)
        self._context.term()

    def abandon(self) -> None:
        """Let go of the sockets when the loop they lived on has ended."""
        with contextlib.suppress(RuntimeError, zmq.ZMQError):
            self._context.destroy(linger=0)

    async def _ask(self, question: Question, *, timeout_seconds: float) -> AsyncGenerator[Answer]:
        """Yield what comes, the last answer last. Raise TimeoutError when that does not come in time.

        The predictor is told when nobody waits for the rest.
        """
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connected.wait()
        except TimeoutError:
            raise _gone() from None
        answers = Answers()
        if not self._pending:
            self._heard_at = time.monotonic()
        self._pending[question.request_id] = answers
        deadline = self.loop.time() + timeout_seconds
        try:
            self._send(question)
            while not answers.is_at_end:
                async with asyncio.timeout_at(deadline):
                    answer = await answers.next()
                yield answer
        finally:
            del self._pending[question.request_id]
            if not answers.is_complete:
                with contextlib.suppress(Unavailable):
                    self._send(Cancel(request_id=question.request_id))

    def _send(self, question: Question) -> None:
        """Send without waiting, so that who is being cancelled can do it too. Raises Unavailable."""
        # pyzmq's future is done when it returns: a message is sent at once or not at all.
        sent: Any = self._socket.send(encode(question), zmq.NOBLOCK)
        try:
            sent.result()
        except zmq.Again:
            raise _gone() from None

    async def _read(self) -> None:
        while True:
            frame = await self._socket.recv()
            self._heard_at = time.monotonic()
            try:
                answer = decode_answer(frame)
            except msgspec.MsgspecError as error:
                log.warning("message of the predictor dropped", reason=str(error))
                continue
            if (answers := self._pending.get(answer.request_id)) is not None:
                answers.take(answer)

    async def _watch_connection(self) -> None:
        while True:
            event = parse_monitor_message(await self._monitor.recv_multipart())["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._connected.set()
            else:
                self._connected.clear()
                self._fail_all()

    async def _watch_silence(self) -> None:
        """While answers are owed, ask whether the predictor still lives."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            if not self._pending:
                continue
            silent_seconds = time.monotonic() - self._heard_at
            if silent_seconds > SILENCE_SECONDS:
                log.warning("predictor hangs", silent_seconds=round(silent_seconds, 1))
                self._fail_all()
            elif silent_seconds > PING_SECONDS / 2:
                with contextlib.suppress(Unavailable):
                    self._send(Ping(request_id=next(self._ids)))

    def _fail_all(self) -> None:
        for answers in self._pending.values():
            answers.fail(_gone())


def _gone() -> Unavailable:
    return Unavailable(
        "The predictor does not answer just now.",
        code="predictor_unavailable",
        hint="It is restarted by itself; ask again in a few seconds.",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


_client: PredictorClient | None = None


def get_client() -> PredictorClient:
    """This process's client, made on first use. Call from a coroutine."""
    global _client  # noqa: PLW0603
    address = get_settings().predictor
    if _client is not None and (_client.loop is not asyncio.get_running_loop() or _client.address != address):
        _client.abandon()
        _client = None
    if _client is None:
        _client = PredictorClient(address)
    return _client


async def is_alive() -> bool:
    """Whether the predictor answers within a second."""
    return await get_client().ping() is not None


async def close() -> None:
    """Close this process's client, if there is one."""
    global _client
    if _client is not None:
        client, _client = _client, None
        await client.close()
