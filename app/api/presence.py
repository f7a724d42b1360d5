"""Work for a caller is dropped when the caller goes away."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from fastapi import Request

from app.errors import Unavailable

Answer = TypeVar("Answer")


async def while_present(request: Request, work: Awaitable[Answer]) -> Answer:
    """What ``work`` gives; it is cancelled when the connection ends. Call once the body has been read.

    Raises Unavailable then, which nobody will read.
    """
    working = asyncio.current_task()
    assert working is not None
    leaving = asyncio.ensure_future(_until_gone(request, working))
    try:
        return await work
    except asyncio.CancelledError:
        if not leaving.done() or leaving.cancelled():
            raise
        working.uncancel()
        raise Unavailable("The caller has gone.") from None
    finally:
        leaving.cancel()


async def _until_gone(request: Request, working: asyncio.Task[Any]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    working.cancel()
