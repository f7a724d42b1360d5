"""Work for a caller is dropped when the caller goes away."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from fastapi import Request

from app.errors import Unavailable

Answer = TypeVar("Answer")

PATIENCE_SECONDS: Final = 0.2
"""After which it is looked whether the caller is still there. Most work is done by then, and watching takes as long as a part of it."""


async def while_present(request: Request, work: Awaitable[Answer]) -> Answer:
    """What ``work`` gives; it is cancelled when the connection ends. Call once the body has been read.

    Raises Unavailable then, which nobody will read.
    """
    working = asyncio.current_task()
    assert working is not None
    watch = _Watch(request, working)
    try:
        return await work
    except asyncio.CancelledError:
        if not watch.has_seen_them_go:
            raise
        working.uncancel()
        raise Unavailable("The caller has gone.") from None
    finally:
        watch.end()


class _Watch:
    """Cancels a task when the connection of its request ends."""

    def __init__(self, request: Request, working: asyncio.Task[Any]) -> None:
        self._request, self._working = request, working
        self._watching: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._begin)

    @property
    def has_seen_them_go(self) -> bool:
        return self._watching is not None and self._watching.done() and not self._watching.cancelled()

    def end(self) -> None:
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def _begin(self) -> None:
        self._watching = asyncio.ensure_future(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._working.cancel()
