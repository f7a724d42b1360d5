"""How often a project may ask models, and how many event streams it may have open. Each API process counts for itself."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from fastapi.concurrency import run_in_threadpool

from app.caller import Caller
from app.errors import TooManyRequests
from app.key import limits
from app.key.schemas import Limits

MINUTE: Final = 60.0
STREAM_RETRY_SECONDS: Final = 15.0
_left: Final[dict[str, tuple[float, float]]] = {}
"""By project: when it asked last, and how many it could have asked at once after that."""
_streams: Final[Counter[str]] = Counter()


async def limits_of(who: Caller) -> Limits:
    """Of a moment ago."""
    found = limits.remembered(who.project_id)
    return found if found is not None else await run_in_threadpool(limits.known, who.project_id)


async def take_prediction(who: Caller) -> None:
    """Count one. Raises TooManyRequests when the project has asked as often in the last minute as it may."""
    most = (await limits_of(who)).max_predictions_per_minute
    if most is None:
        return
    now = time.monotonic()
    then, left = _left.get(who.project_id, (now, float(most)))
    left = min(float(most), left + (now - then) * most / MINUTE)
    if left < 1:
        raise TooManyRequests(
            f"The project may ask models {most} times a minute.",
            code="too_many_predictions",
            hint="Send several inputs in one request, or have a file predicted with POST /predict/batch.",
            retry_after_seconds=(1 - left) * MINUTE / max(most, 1),
        )
    _left[who.project_id] = (now, left - 1)


async def refuse_stream(who: Caller) -> None:
    """Raises TooManyRequests when the project has as many streams open as it may."""
    most = (await limits_of(who)).max_event_streams
    if most is not None and _streams[who.project_id] >= most:
        raise TooManyRequests(
            f"The project has {most} event streams open, which is its limit.",
            code="too_many_streams",
            hint="Close one, or ask for pages: leave out Accept: text/event-stream.",
            retry_after_seconds=STREAM_RETRY_SECONDS,
        )


@contextmanager
def stream_of(who: Caller) -> Iterator[None]:
    """Count one that is open, until the end of the block."""
    _streams[who.project_id] += 1
    try:
        yield
    finally:
        _streams[who.project_id] -= 1
        if not _streams[who.project_id]:
            del _streams[who.project_id]
