"""One child process of the supervisor: started, watched, restarted with back-off, stopped."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from app.stack.commands import tethered

log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 10.0
SETTLED_SECONDS: Final = 30.0
"""A part alive for so long has started well: its next death is a first one again."""


@dataclass(kw_only=True)
class Part:
    """A process that should always run. All methods belong to the main thread, whose end the child is told of."""

    name: str
    command: list[str]
    environment: dict[str, str]
    death_signal: signal.Signals
    """What it gets when the supervisor is killed."""
    descriptors: tuple[int, ...] = ()
    """Descriptors it inherits."""
    before_start: Callable[[], None] | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _started_at: float = field(default=0.0, init=False)
    _deaths: int = field(default=0, init=False)
    _restart_at: float | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C on the terminal reaches the supervisor alone."""
        if self.before_start is not None:
            self.before_start()
        self._process = subprocess.Popen(  # noqa: S603  our own command lines
            tethered(self.command, death_signal=self.death_signal),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),  # standard output carries the supervisor's one line
            pass_fds=self.descriptors,
            start_new_session=True,
        )
        self._started_at = time.monotonic()
        self._restart_at = None
        log.info("part started", part=self.name, pid=self._process.pid)

    def keep_alive(self) -> float | None:
        """Restart it if it has died and its pause is over. Returns the seconds until there is something to do."""
        now = time.monotonic()
        if self._restart_at is not None:
            if now < self._restart_at:
                return self._restart_at - now
            self.start()
            return None
        if self._process is None or self._process.poll() is None:
            return None
        self._deaths = 1 if now - self._started_at > SETTLED_SECONDS else self._deaths + 1
        pause = min(FIRST_PAUSE_SECONDS * 2.0 ** (self._deaths - 1), LONGEST_PAUSE_SECONDS)
        log.error("part died, restarting it", part=self.name, ended_by=self.ending(), restart_in_seconds=pause)
        self._restart_at = now + pause
        return pause

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ending(self) -> str:
        """How it ended, in words."""
        code = None if self._process is None else self._process.returncode
        if code is None:
            return "still running"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def terminate(self) -> None:
        """Ask it to stop; a part waiting for its restart is no longer restarted."""
        self._restart_at = None
        if self.is_running():
            assert self._process is not None
            self._process.terminate()

    def kill(self) -> None:
        """End it and what it started in its session, at once."""
        self._restart_at = None
        if self.is_running():
            assert self._process is not None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
