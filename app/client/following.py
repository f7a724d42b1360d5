"""A job as it happens: its events over SSE, its numbers by asking, merged into one stream."""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from app.client import pages
from app.client.address import segment
from app.client.connection import Connection
from app.client.errors import ConnectionRefused, TuneryError, WaitedTooLong

TERMINAL: Final = frozenset({"succeeded", "failed", "cancelled"})
POLL_SECONDS: Final = 1.0
RECONNECT_SECONDS: Final = 1.0
OUTAGE_SECONDS: Final = 120.0
"""How long the server may have trouble (a database being down) before the follower gives up."""
REFUSED_SECONDS: Final = 30.0
"""How long nobody may answer at its address: a restart takes less."""
NOTICE_SECONDS: Final = 3.0
"""How long an outage lasts before it is told."""
SILENCE_SECONDS: Final = 40.0
"""The server sends a sign of life every 15 s."""

J = TypeVar("J")
E = TypeVar("E")


@dataclass(frozen=True)
class JobEvent(Generic[E]):
    """Something that happened."""

    event: E


@dataclass(frozen=True)
class JobState(Generic[J]):
    """The job as it stands, and the newest training loss."""

    job: J
    loss: float | None = None


@dataclass(frozen=True)
class Outage:
    """The server does not answer, or answers again; ``message`` says which."""

    message: str


Document = dict[str, Any]
Update = JobEvent[Document] | JobState[Document] | Outage


async def follow(connection: Connection, job_id: str) -> AsyncGenerator[Update, None]:
    """Every event from the first, once and in order, and the job about once a second; ends with the job's last state.

    A server that goes away for a while is waited for, and the wait is told. Raises TuneryError when it stays away, and when
    there is no such job.
    """
    path = f"/jobs/{segment(job_id)}"
    yield JobState(await connection.get(path))  # an unknown job fails here, in words
    patient = connection.asking_once()
    events = _Events(patient, f"{path}/events")
    patience, losses = _Patience(patient, path), _Losses(patient, f"{path}/metrics")
    try:
        while True:
            async for event in events.within(POLL_SECONDS):
                yield JobEvent(event)
            job = await patience.ask()
            for outage in patience.news():
                yield outage
            if job is None:
                continue
            if job["status"] in TERMINAL:
                break
            yield JobState(job, await losses.newest(step=job["progress"]["step"]))
        await events.stop()
        async for event in events.within(0):
            yield JobEvent(event)
        async for event in _rest(connection, f"{path}/events", after=events.last_id):
            yield JobEvent(event)
        yield JobState(job)
    finally:
        await events.stop()


async def _rest(connection: Connection, path: str, *, after: str | None) -> AsyncIterator[Document]:
    """The events of an ended job that its stream had no time to tell; no more will happen."""
    try:
        async for event in pages.items(connection, path, after=after, page_size=1000):
            yield event
    except TuneryError:  # how the job ended is known, and matters more
        return


async def wait(
    connection: Connection,
    job_id: str,
    *,
    on_outage: Callable[[Outage], None] | None = None,
    on_change: Callable[[Document], None] | None = None,
    timeout_seconds: float | None = None,
    noun: str = "jobs",
) -> Document:
    """The job, or whatever ``noun`` names, once it has ended; before, ``on_change`` is told each state that is another.

    Raises WaitedTooLong after ``timeout_seconds``, and TuneryError when the server stays away.
    """
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    path = f"/{noun}/{segment(job_id)}"
    job: Document | None = await connection.get(path)
    connection = connection.asking_once()
    patience, told = _Patience(connection, path), None
    while job is None or job["status"] not in TERMINAL:
        if deadline is not None and time.monotonic() > deadline:
            shown = "" if job is None else f" It is {job['status']}."
            raise WaitedTooLong(f"{job_id} has not ended after {timeout_seconds:g} s.{shown}")
        if on_change is not None and job is not None and job != told:
            told = job
            on_change(job)
        await connection.transport.sleep(POLL_SECONDS)
        job = await patience.ask()
        for outage in patience.news():
            if on_outage is not None:
                on_outage(outage)
    return job


class _Losses:
    """The training loss, which is no part of the job itself: a job tells its newest evaluation."""

    def __init__(self, connection: Connection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._cursor: str | None = None
        self._step = 0
        self._newest: float | None = None

    async def newest(self, *, step: int) -> float | None:
        """Asks for what is new when ``step`` has moved. No answer is no reason to stop following."""
        has_more = step != self._step
        self._step = step
        while has_more:
            try:
                page = await self._connection.get(self._path, after=self._cursor, limit=1000)
            except TuneryError:
                break
            for point in page["data"]:
                if point["name"] == "train/loss":
                    self._newest = point["value"]
            has_more, self._cursor = page["has_more"], page["last_id"]
        return self._newest


class _Patience:
    """Asks for a job, or for what else is at ``path``, and bears a server that is away for a while."""

    def __init__(self, connection: Connection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._failing_since: float | None = None
        self._refused_since: float | None = None
        self._is_told = False
        self._news: list[Outage] = []

    def news(self) -> Iterator[Outage]:
        """That the server has gone, once it has been away for some seconds, and that it is back."""
        while self._news:
            yield self._news.pop(0)

    async def ask(self) -> Document | None:
        """The job, or None after a pause if the server cannot tell just now. Raises TuneryError when that lasts too long."""
        try:
            job: Document = await self._connection.get(self._path)
        except TuneryError as error:
            if is_final(error):
                raise
            self._bear(error)
            await self._connection.transport.sleep(RECONNECT_SECONDS)
            return None
        if self._is_told:
            self._news.append(Outage("The server answers again."))
        self._failing_since = self._refused_since = None
        self._is_told = False
        return job

    def _bear(self, error: TuneryError) -> None:
        moment = time.monotonic()
        self._failing_since = self._failing_since or moment
        is_refused = isinstance(error, ConnectionRefused)
        self._refused_since = (self._refused_since or moment) if is_refused else None
        refused_too_long = self._refused_since is not None and moment - self._refused_since > REFUSED_SECONDS
        if refused_too_long or moment - self._failing_since > OUTAGE_SECONDS:
            raise error
        if not self._is_told and moment - self._failing_since >= NOTICE_SECONDS:
            self._is_told = True
            self._news.append(Outage(f"The server is lost, trying again: {error.message}"))


def is_final(error: TuneryError) -> bool:
    """Whether the server said what it will say again."""
    return error.status is not None and error.status < 500 and error.status != 429


class _Events:
    """Reads the events at ``path`` as a stream in the background; goes on after a break from the last event it has seen."""

    def __init__(self, connection: Connection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._last_id_read = ""
        self._inbox = connection.transport.listen(self._read)
        self.last_id: str | None = None
        """Of the event that was told last."""

    async def within(self, seconds: float) -> AsyncIterator[Document]:
        """What has come, and what comes within that time."""
        deadline = time.monotonic() + seconds
        while (event := await self._inbox.take(wait_seconds=max(0.0, deadline - time.monotonic()))) is not None:
            self.last_id = event["id"]
            yield event

    async def stop(self) -> None:
        await self._inbox.stop()

    async def _read(self, put: Callable[[Document], None], is_stopped: Callable[[], bool]) -> None:
        while not is_stopped():
            try:
                await self._read_once(put, is_stopped)
            except TuneryError as error:
                if is_final(error):
                    return
            if not is_stopped():
                await self._connection.transport.sleep(RECONNECT_SECONDS)

    async def _read_once(self, put: Callable[[Document], None], is_stopped: Callable[[], bool]) -> None:
        headers = {"accept": "text/event-stream"}
        if self._last_id_read:
            headers["last-event-id"] = self._last_id_read
        async with self._connection.stream(self._path, headers=headers, timeout_seconds=SILENCE_SECONDS) as stream:
            async for event in stream.events():
                if is_stopped():
                    return
                self._last_id_read = event.id or self._last_id_read
                if event.data:
                    put(json.loads(event.data))
