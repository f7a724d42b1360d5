"""The way out: messages to the worker as JSON lines, written by a thread so that no step waits for a reader.

Order is kept. Metric points are joined (up to 200, or what came within a second); progress is thinned to 4 a second.
"""

import os
import queue
import sys
import threading
import time
from contextlib import suppress
from typing import Final

from app.spec.messages import (
    AliveMessage,
    ErrorMessage,
    LogMessage,
    Message,
    MetricsMessage,
    PhaseMessage,
    Point,
    ProgressMessage,
    WarningMessage,
)

MAX_POINTS: Final = 200
MAX_DELAY_SECONDS: Final = 1.0
PROGRESS_INTERVAL_SECONDS: Final = 0.25
ALIVE_SECONDS: Final = 5.0
"""After so long without another message comes one that says no more than that."""


class Reporter:
    """Sends messages; ``close`` returns when all of them are written. Progress is for the main thread only."""

    def __init__(self, descriptor: int | None = None) -> None:
        """``descriptor``: where the lines go; None: standard output."""
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._progress_at = 0.0
        self._moved_at = time.monotonic()
        self._warned: set[tuple[str, str]] = set()
        self._writer = threading.Thread(target=self._write, name="reporting", daemon=True)
        self._writer.start()

    def send(self, message: Message) -> None:
        self.goes_on()
        self._messages.put(message)

    def goes_on(self) -> None:
        """Say that the main thread is at work; call it within what takes long and says nothing else."""
        self._moved_at = time.monotonic()

    def phase(self, name: str) -> None:
        log(f"phase: {name}")
        self.send(PhaseMessage(phase=name))

    def log(self, message: str, **data: object) -> None:
        """Something a user following the job wants to read."""
        log(message)
        self.send(LogMessage(message=message, data=data or None))

    def warn(self, code: str, message: str) -> None:
        """Said once: all processes of a job may find the same."""
        if (code, message) in self._warned:
            return
        self._warned.add((code, message))
        log(f"warning: {message}")
        self.send(WarningMessage(code=code, message=message))

    def points(self, step: int, epoch: float, values: dict[str, float]) -> None:
        """One metric point for each name in ``values``."""
        self.send(
            MetricsMessage(
                points=[Point(step=step, epoch=epoch, name=name, value=value) for name, value in values.items()]
            )
        )

    def progress(self, message: ProgressMessage) -> None:
        """Sent if the last one was not just now, or if it is the last of the run."""
        self.goes_on()
        now = time.monotonic()
        if now - self._progress_at >= PROGRESS_INTERVAL_SECONDS or message.step == message.max_steps:
            self._progress_at = now
            self.send(message)

    def close(self) -> None:
        """Write what is left and stop. May be called twice."""
        self._messages.put(None)
        self._writer.join()

    def _write(self) -> None:
        points: list[Point] = []
        first_at = 0.0
        while True:
            try:
                wait = max(0.0, first_at + MAX_DELAY_SECONDS - time.monotonic()) if points else ALIVE_SECONDS
                message = self._messages.get(timeout=wait)
            except queue.Empty:
                if not points:
                    self._write_line(AliveMessage(idle_seconds=time.monotonic() - self._moved_at))
                points = self._write_points(points)
                continue
            if isinstance(message, MetricsMessage):
                first_at = first_at if points else time.monotonic()
                points += message.points
                while len(points) >= MAX_POINTS:
                    self._write_points(points[:MAX_POINTS])
                    points = points[MAX_POINTS:]
                continue
            points = self._write_points(points)
            if message is None:
                return
            self._write_line(message)

    def _write_points(self, points: list[Point]) -> list[Point]:
        if points:
            self._write_line(MetricsMessage(points=points))
        return []

    def _write_line(self, message: Message) -> None:
        """A reader that is gone is not this thread's affair: the control descriptor tells of it."""
        line = message.model_dump_json().encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except BrokenPipeError:
            log("nobody reads the events")


class FollowersReporter(Reporter):
    """Of a process that does not lead its group: only what the leader may not know of itself, and nothing in the log."""

    def send(self, message: Message) -> None:
        if isinstance(message, WarningMessage | ErrorMessage):
            super().send(message)

    def phase(self, name: str) -> None:
        pass

    def log(self, message: str, **data: object) -> None:
        pass

    def warn(self, code: str, message: str) -> None:
        self.send(WarningMessage(code=code, message=message))


def log(message: str) -> None:
    """A line of ``trainer.log``; nothing where the disk is full."""
    with suppress(OSError):
        print(time.strftime("%H:%M:%S"), message, file=sys.stderr, flush=True)  # noqa: T201 - the log of a trainer is its stderr
