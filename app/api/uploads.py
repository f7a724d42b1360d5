"""Lets a plain function in a thread take in an upload while it is still being sent."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, TypeVar

import anyio
from anyio import from_thread, to_thread
from anyio.lowlevel import RunVar
from starlette.requests import ClientDisconnect, Request

from app.api.multipart import read_parts
from app.errors import InvalidRequest
from app.file.upload import UploadPart

_T = TypeVar("_T")

PATIENCE_SECONDS: Final = 300
"""How long an upload may stand still (1 MiB at a time is waited for)."""
_MOST_AT_A_TIME: Final = 16
"""Uploads have threads of their own, so that slow ones take none from the other routes; further ones wait."""
_END: Final = object()
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("uploads")


async def receive_upload(request: Request, consume: Callable[[Iterator[UploadPart]], _T], *, max_bytes: int) -> _T:
    """Call ``consume`` in a thread with the parts of the form as they arrive; what it raises is raised here.

    The thread asks for each block and the connection waits meanwhile, so no more than one block is held. When
    ``consume`` raises, the rest of the body is not read.
    """
    parts = read_parts(request, max_bytes=max_bytes)
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_MOST_AT_A_TIME)
        _limiter.set(limiter)
    try:
        return await to_thread.run_sync(lambda: consume(_parts(parts)), limiter=limiter)
    except ClientDisconnect:
        raise InvalidRequest("The client went away before the upload was complete.", code="upload_aborted") from None


def _parts(parts: AsyncIterator[Any]) -> Iterator[UploadPart]:
    for part in _pulled(parts):
        yield UploadPart(name=part.name, filename=part.filename, blocks=_pulled(part.blocks()))


def _pulled(stream: AsyncIterator[_T]) -> Iterator[_T]:
    """Iterate, in a thread, over what the event loop produces."""
    while (item := from_thread.run(_next, stream)) is not _END:
        yield item


async def _next(stream: AsyncIterator[_T]) -> Any:
    try:
        with anyio.fail_after(PATIENCE_SECONDS):
            return await anext(stream, _END)
    except TimeoutError:
        raise InvalidRequest(f"Nothing came for {PATIENCE_SECONDS} seconds.", code="upload_stalled") from None
