"""``GET /jobs/{id}/events``: a page of JSON, or a stream for those who accept ``text/event-stream``.

All streams of a process are fed by one poller, in async code, so that a thousand of them take no worker thread.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import structlog
from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Receive, Scope, Send

from app import caller, ids
from app.api import rates
from app.api.errors import error_responses
from app.api.jobs import JobId
from app.errors import NotFound
from app.job import service
from app.job.schemas import EventOut, EventPage
from app.job.states import TERMINAL
from app.key import service as keys

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/jobs", tags=["jobs"])

EVENT_STREAM = "text/event-stream"
POLL_SECONDS = 0.25
KEEP_ALIVE_SECONDS = 15.0
RETRY_SECONDS = 1.0
PAGE = 200


class StreamHub:
    """Watches the event counters of all jobs that someone follows, with one query for all of them."""

    def __init__(self) -> None:
        self._followers: dict[str, int] = {}
        self._newest: dict[str, tuple[int, str]] = {}
        self._changed = asyncio.Condition()

    async def poll(self) -> None:
        """Runs for the life of the process."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self._followers:
                continue
            try:
                newest = await run_in_threadpool(service.newest_events, list(self._followers))
            except SQLAlchemyError as error:
                log.warning("event streams wait for the database", error=str(error))
                continue
            if newest != self._newest:
                async with self._changed:
                    self._newest = newest
                    self._changed.notify_all()

    @asynccontextmanager
    async def following(self, job_id: str) -> AsyncIterator[None]:
        self._followers[job_id] = self._followers.get(job_id, 0) + 1
        try:
            yield
        finally:
            self._followers[job_id] -= 1
            if self._followers[job_id] == 0:
                del self._followers[job_id]

    async def wait_beyond(self, job_id: str, number: int) -> bool:
        """True once the job has events after ``number`` or has ended; False after a while without any."""

        def is_beyond() -> bool:
            newest, status = self._newest.get(job_id, (0, ""))
            return newest > number or status in TERMINAL

        try:
            async with asyncio.timeout(KEEP_ALIVE_SECONDS), self._changed:
                await self._changed.wait_for(is_beyond)
        except TimeoutError:
            return False
        return True


_hub: StreamHub | None = None


@asynccontextmanager
async def stream_hub() -> AsyncIterator[None]:
    """The process's hub, for the life of the application."""
    global _hub  # noqa: PLW0603
    _hub = StreamHub()
    poller = asyncio.create_task(_hub.poll())
    try:
        yield
    finally:
        poller.cancel()
        _hub = None


@router.get(
    "/{job_id}/events",
    summary="What happened, oldest first; with Accept: text/event-stream as a stream",
    response_model=EventPage,
    responses={
        200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}},
        **error_responses(401, 404, 422, 429, 503),
    },
)
async def job_events(
    request: Request,
    job_id: JobId,
    after: Annotated[str | None, Query(max_length=128, description="Event id to go on from")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    last_event_id: Annotated[str | None, Header(description="For streams: the last event that was received")] = None,
) -> EventPage | StreamingResponse:
    if EVENT_STREAM not in request.headers.get("accept", ""):
        return await run_in_threadpool(service.list_events, job_id, after=after, limit=limit)
    who = caller.current()
    assert who is not None
    await rates.refuse_stream(who)
    start = last_event_id or after
    first = await run_in_threadpool(service.list_events, job_id, after=start, limit=PAGE)
    stream = _stream(job_id, first, service.event_position(start))
    return _CountedStream(
        stream, media_type=EVENT_STREAM, headers={"cache-control": "no-store", "x-accel-buffering": "no"}
    )


class _CountedStream(StreamingResponse):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        who = caller.current()
        assert who is not None
        with rates.stream_of(who):
            await super().__call__(scope, receive, send)


async def _stream(job_id: str, page: EventPage, number: int) -> AsyncIterator[str]:
    """Server-sent events; ends after the event with which the job has ended, or when the caller's key is valid no more."""
    assert _hub is not None
    yield "retry: 1000\n\n"
    async with _hub.following(job_id):
        while True:
            for event in page.data:
                yield _frame(event)
                number = event.number
            has_more = bool(page.data) or await _hub.wait_beyond(job_id, number)
            try:
                if not await run_in_threadpool(keys.is_valid, caller.current()):
                    return
                if not has_more:
                    yield ": keep-alive\n\n"
                    continue
                ended = await run_in_threadpool(service.has_ended, job_id)  # asked first: no event comes after the end
                after = ids.event_id(job_id, number) if number else None
                page = await run_in_threadpool(service.list_events, job_id, after=after, limit=PAGE)
            except NotFound:  # it was deleted
                return
            except SQLAlchemyError as error:
                log.warning("an event stream waits for the database", job_id=job_id, error=str(error))
                page, ended = page.model_copy(update={"data": []}), False
                await asyncio.sleep(RETRY_SECONDS)
            if not page.data and ended:
                return


def _frame(event: EventOut) -> str:
    return f"id: {event.id}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n"
