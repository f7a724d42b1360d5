"""A job as it happens: its events over SSE, its numbers by asking, merged into one stream."""

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from app.cli.client import REFUSED, Client, segment
from app.cli.errors import CliError

TERMINAL: Final = frozenset({"succeeded", "failed", "cancelled"})
POLL_SECONDS: Final = 1.0
RECONNECT_SECONDS: Final = 1.0
LAST_EVENTS_SECONDS: Final = 3.0
"""How long an ended job's last events are waited for."""
OUTAGE_SECONDS: Final = 120.0
"""How long the server may have trouble (a database being down) before the follower gives up."""
REFUSED_SECONDS: Final = 30.0
"""How long nobody may answer at its address: a restart takes less."""
NOTICE_SECONDS: Final = 3.0
"""How long an outage lasts before it is told."""
SILENCE_SECONDS: Final = 40.0
"""The server sends a sign of life every 15 s."""


@dataclass(frozen=True)
class JobEvent:
    """Something that happened."""

    event: dict[str, Any]


@dataclass(frozen=True)
class JobState:
    """The job as it stands, and the newest training loss."""

    job: dict[str, Any]
    loss: float | None = None


@dataclass(frozen=True)
class Outage:
    """The server does not answer, or answers again; ``message`` says which."""

    message: str


Update = JobEvent | JobState | Outage


def follow(client: Client, job_id: str) -> Iterator[Update]:
    """Every event from the first, once and in order, and the job about once a second; ends with the job's last state.

    A server that goes away for a while is waited for, and the wait is told. Raises CliError when it stays away, and when
    there is no such job.
    """
    yield JobState(client.get(f"/jobs/{segment(job_id)}"))  # an unknown job fails here, in words
    reader = _EventReader(client.url, job_id)
    reader.start()
    patience, losses = _Patience(), _Losses(client, job_id)
    ended: dict[str, Any] | None = None
    give_up_at = 0.0
    try:
        while True:
            yield from (JobEvent(event) for event in reader.take(wait_seconds=0 if ended else POLL_SECONDS))
            if ended is None:
                job = patience.ask(client, job_id)
                yield from patience.news()
                if job is None:
                    continue
                if job["status"] in TERMINAL:
                    ended, give_up_at = job, time.monotonic() + LAST_EVENTS_SECONDS
                else:
                    yield JobState(job, losses.newest(step=job["progress"]["step"]))
            elif reader.has_all.wait(0.05) or time.monotonic() > give_up_at:
                yield from (JobEvent(event) for event in reader.take(wait_seconds=0))
                yield JobState(ended)
                return
    finally:
        reader.stop()


def wait(
    client: Client,
    job_id: str,
    *,
    on_outage: Callable[[Outage], None],
    timeout_seconds: float | None = None,
    noun: str = "jobs",
    on_change: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """The job, or whatever ``noun`` names, once it has ended; before, ``on_change`` is told each state that is another.

    Raises CliError after ``timeout_seconds``, and when the server stays away.
    """
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    job: dict[str, Any] | None = client.get(f"/{noun}/{segment(job_id)}")
    patience, told = _Patience(noun), None
    while job is None or job["status"] not in TERMINAL:
        if deadline is not None and time.monotonic() > deadline:
            shown = "" if job is None else f" It is {job['status']}."
            raise CliError(f"{job_id} has not ended after {timeout_seconds:g} s.{shown}", code="timeout")
        if on_change is not None and job is not None and job != told:
            told = job
            on_change(job)
        time.sleep(POLL_SECONDS)
        job = patience.ask(client, job_id)
        for outage in patience.news():
            on_outage(outage)
    return job


class _Losses:
    """The training loss, which is no part of the job itself: a job tells its newest evaluation."""

    def __init__(self, client: Client, job_id: str) -> None:
        self._client = client
        self._path = f"/jobs/{segment(job_id)}/metrics"
        self._cursor: str | None = None
        self._step = 0
        self._newest: float | None = None

    def newest(self, *, step: int) -> float | None:
        """Asks for what is new when ``step`` has moved. No answer is no reason to stop following."""
        has_more = step != self._step
        self._step = step
        while has_more:
            try:
                page = self._client.get(self._path, after=self._cursor, limit=1000)
            except CliError:
                break
            for point in page["data"]:
                if point["name"] == "train/loss":
                    self._newest = point["value"]
            has_more, self._cursor = page["has_more"], page["last_id"]
        return self._newest


class _Patience:
    """Asks for a job, or whatever ``noun`` names, and bears a server that is away for a while."""

    def __init__(self, noun: str = "jobs") -> None:
        self._noun = noun
        self._failing_since: float | None = None
        self._refused_since: float | None = None
        self._is_told = False
        self._news: list[Outage] = []

    def news(self) -> Iterator[Outage]:
        """That the server has gone, once it has been away for some seconds, and that it is back."""
        while self._news:
            yield self._news.pop(0)

    def ask(self, client: Client, job_id: str) -> dict[str, Any] | None:
        """The job, or None after a pause if the server cannot tell just now. Raises CliError when that lasts too long."""
        try:
            job: dict[str, Any] = client.get(f"/{self._noun}/{segment(job_id)}")
        except CliError as error:
            if error.status is not None and error.status < 500 and error.status != 429:
                raise
            self._bear(error)
            time.sleep(RECONNECT_SECONDS)
            return None
        if self._is_told:
            self._news.append(Outage("The server answers again."))
        self._failing_since = self._refused_since = None
        self._is_told = False
        return job

    def _bear(self, error: CliError) -> None:
        moment = time.monotonic()
        self._failing_since = self._failing_since or moment
        self._refused_since = (self._refused_since or moment) if error.code == REFUSED else None
        refused_too_long = self._refused_since is not None and moment - self._refused_since > REFUSED_SECONDS
        if refused_too_long or moment - self._failing_since > OUTAGE_SECONDS:
            raise error
        if not self._is_told and moment - self._failing_since >= NOTICE_SECONDS:
            self._is_told = True
            self._news.append(Outage(f"The server is lost, trying again: {error.message}"))


class _EventReader(threading.Thread):
    """Reads ``GET /jobs/{id}/events`` as a stream; goes on after a break from the last event it has seen."""

    def __init__(self, url: str, job_id: str) -> None:
        super().__init__(name="events", daemon=True)
        self._client = Client(url)
        self._path = f"/jobs/{segment(job_id)}/events"
        self._inbox: queue.Queue[dict[str, Any]] = queue.Queue()
        self._stopped = threading.Event()
        self._last_id: str | None = None
        self.has_all = threading.Event()
        """The server ended the stream, as it does after the last event of an ended job."""

    def take(self, *, wait_seconds: float) -> Iterator[dict[str, Any]]:
        """What has come, and what comes within ``wait_seconds``."""
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                yield self._inbox.get(timeout=max(0.0, deadline - time.monotonic()) or None, block=wait_seconds > 0)
            except queue.Empty:
                return
            if time.monotonic() >= deadline and self._inbox.empty():
                return

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._read()
            except CliError as error:
                if error.status is not None and error.status < 500 and error.status != 429:
                    return
            self._stopped.wait(RECONNECT_SECONDS)

    def _read(self) -> None:
        headers = {"accept": "text/event-stream"}
        if self._last_id is not None:
            headers["last-event-id"] = self._last_id
        self.has_all.clear()
        with self._client.stream(self._path, headers=headers, timeout=SILENCE_SECONDS) as response:
            for fields in parse_event_stream(response.iter_bytes()):
                self._last_id = fields.get("id", self._last_id)
                if "data" in fields:
                    self._inbox.put(json.loads(fields["data"]))
        self.has_all.set()


def parse_event_stream(blocks: Iterator[bytes]) -> Iterator[dict[str, str]]:
    """Server-sent events as their fields. Lines end at line feeds only: JSON may hold U+2028 as it is.

    https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    pending = b""
    fields: dict[str, str] = {}
    for block in blocks:
        *lines, pending = (pending + block).split(b"\n")
        for raw in lines:
            line = raw.removesuffix(b"\r").decode()
            if not line:
                if fields:
                    yield fields
                fields = {}
            elif not line.startswith(":"):
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                fields[name] = f"{fields[name]}\n{value}" if name == "data" and "data" in fields else value
