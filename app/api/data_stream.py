"""Server-sent events without names, as text-generation-inference and OpenAI send them: ``data:`` and JSON."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

import orjson
import structlog

from app.api.surfaces import plain_text
from app.api.text_stream import EVENT_STREAM, ClosingResponse
from app.errors import ServiceError

log = structlog.get_logger(__name__)

Events = AsyncGenerator[dict[str, Any]]
DONE: Final = "data: [DONE]\n\n"


def _plain(error: ServiceError) -> dict[str, Any]:
    """As text-generation-inference tells it."""
    return {"error": plain_text(error), "error_type": "incomplete_generation", "code": error.code}


async def data_stream(
    events: Events, *, end: str = "", broken_off: Callable[[ServiceError], dict[str, Any]] = _plain
) -> ClosingResponse:
    """The response, once there is something to say: until then an error is an ordinary one, and is raised.

    ``broken_off``: how a later one is told, as the last event.
    """
    try:
        first = await anext(events)
    except BaseException:
        await events.aclose()
        raise
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    frames = _frames(first, events, end=end, broken_off=broken_off)
    return ClosingResponse(frames, media_type=EVENT_STREAM, headers=headers)


async def _frames(
    first: dict[str, Any], events: Events, *, end: str, broken_off: Callable[[ServiceError], dict[str, Any]]
) -> AsyncGenerator[str]:
    async with contextlib.aclosing(events):
        try:
            yield _frame(first)
            async for event in events:
                yield _frame(event)
        except ServiceError as error:
            log.warning("a stream of tokens broke off", code=error.code)
            yield _frame(broken_off(error))
        else:
            if end:
                yield end


def _frame(event: dict[str, Any]) -> str:
    return f"data:{orjson.dumps(event).decode()}\n\n"
