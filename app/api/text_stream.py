"""A generated text as server-sent events: ``piece`` as it comes, and last ``prediction``, or ``error`` where it broke off."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

import orjson
import structlog
from fastapi.responses import StreamingResponse
from starlette.types import Send

from app.api.errors import problem_body
from app.errors import ServiceError
from app.prediction.known import ServedModel
from app.prediction.schemas import TextPiece, TokenOut
from app.prediction.wire import Piece, Prediction

log = structlog.get_logger(__name__)

EVENT_STREAM: Final = "text/event-stream"
PATH: Final = "/predict"

Answers = AsyncGenerator[Piece | tuple[ServedModel, Prediction]]


class ClosingResponse(StreamingResponse):
    """Closes what it streams from when it ends, also when the reader has gone: that stops the model."""

    async def stream_response(self, send: Send) -> None:
        assert isinstance(self.body_iterator, AsyncGenerator)
        async with contextlib.aclosing(self.body_iterator):
            await super().stream_response(send)


async def text_stream(
    answers: Answers, *, last: Callable[[ServedModel, Prediction], dict[str, Any]]
) -> StreamingResponse:
    """The response, once there is something to say: until then an error is an ordinary one, and is raised."""
    try:
        first = await anext(answers)
    except BaseException:
        await answers.aclose()
        raise
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return ClosingResponse(_events(first, answers, last=last), media_type=EVENT_STREAM, headers=headers)


async def _events(
    first: Piece | tuple[ServedModel, Prediction],
    answers: Answers,
    *,
    last: Callable[[ServedModel, Prediction], dict[str, Any]],
) -> AsyncGenerator[str]:
    async with contextlib.aclosing(answers):
        try:
            yield _event_of(first, last=last)
            async for answer in answers:
                yield _event_of(answer, last=last)
        except ServiceError as error:
            log.warning("a stream of text broke off", code=error.code)
            yield _frame("error", orjson.dumps(problem_body(error, instance=PATH)).decode())


def _event_of(
    answer: Piece | tuple[ServedModel, Prediction], *, last: Callable[[ServedModel, Prediction], dict[str, Any]]
) -> str:
    if not isinstance(answer, Piece):
        return _frame("prediction", orjson.dumps(last(*answer)).decode())
    tokens = [
        TokenOut(id=token.id, text=token.text, logprob=token.logprob, special=token.special) for token in answer.tokens
    ]
    return _frame("piece", TextPiece(text="".join(token.text for token in tokens), tokens=tokens).model_dump_json())


def _frame(event: str, data: str) -> str:
    return f"event: {event}\ndata: {data}\n\n"
