"""The worker's side of the nursery: keeps one alive, asks it for trainers, and says when it has none to give."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Final

import structlog

from app.config import get_settings
from app.stack.commands import tethered
from worker.nursery.words import READY

log = structlog.get_logger(__name__)

IMPORT_SECONDS: Final = 120.0
"""A nursery that is not ready by then hangs."""
PATIENCE_SECONDS: Final = 15.0
"""How long a job waits for a nursery that is still importing: what is left of that is shorter than a cold start, which
imports the same. Within the time that a stopping worker has; a quarter of a lease, where that is less, for nobody renews it meanwhile."""
FORK_SECONDS: Final = 5.0
"""A birth takes some 20 ms; a nursery that has not answered by then hangs."""
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 600.0
SETTLED_SECONDS: Final = 60.0
"""A nursery that lived for so long started well: its death is a first one again."""

_PR_SET_CHILD_SUBREAPER: Final = 36
_STANDARD_ERROR: Final = 2
"""The descriptor itself: Celery puts an object without one in the place of ``sys.stderr``."""


class NurseryUnavailableError(Exception):
    """No trainer was born; one that may have been, after all, finds its control pipe closed and exits."""


class Born:
    """A trainer that the nursery forked and this process inherited: what ``subprocess.Popen`` tells of a child."""

    def __init__(self, pid: int) -> None:
        self.pid: Final = pid
        self._exit_code: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._reap(os.WNOHANG)

    def wait(self) -> int:
        exit_code = self._reap(0)
        assert exit_code is not None
        return exit_code

    def _reap(self, options: int) -> int | None:
        if self._exit_code is None:
            pid, status = os.waitpid(self.pid, options)
            if pid == self.pid:
                self._exit_code = os.waitstatus_to_exitcode(status)
        return self._exit_code


class _Nursery:
    """A nursery process, started at construction."""

    def __init__(self, *, environment: Mapping[str, str], home: Path) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "worker.nursery", "--home", str(home), "--channel-fd", str(theirs.fileno())]
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                tethered(command, death_signal=signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=_STANDARD_ERROR,
                env=dict(environment),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except BaseException:
            self.channel.close()
            raise
        finally:
            theirs.close()

    def wait_until_ready(self) -> bool:
        """False when it died, or had to be killed, instead."""
        self.channel.settimeout(IMPORT_SECONDS)
        with contextlib.suppress(OSError):
            if self.channel.recv(len(READY)) == READY:
                return True
        self.process.kill()
        return False

    def bear(self, run_dir: Path, descriptors: Sequence[int]) -> Born:
        """Raises NurseryUnavailableError, and kills it, when it does not answer."""
        self.channel.settimeout(FORK_SECONDS)
        try:
            socket.send_fds(self.channel, [os.fsencode(run_dir)], descriptors)
            answer = self.channel.recv(32)
        except OSError as error:
            self.process.kill()
            raise NurseryUnavailableError(f"the nursery does not answer ({error or type(error).__name__})") from error
        if not answer:
            raise NurseryUnavailableError("the nursery has died")
        return Born(int(answer))


class _State(Enum):
    ABSENT = auto()
    IMPORTING = auto()
    READY = auto()


class Keeper:
    """Keeps a nursery alive from ``start`` to ``stop``. ``bear`` may be called by any thread, at any time."""

    def __init__(self) -> None:
        self._requests = threading.Lock()
        self._changed = threading.Condition()
        self._nursery: _Nursery | None = None
        self._state = _State.ABSENT
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """Of the nursery that is, if there is one."""
        nursery = self._nursery
        return None if nursery is None else nursery.process.pid

    def start(self, *, environment: Mapping[str, str], home: Path) -> None:
        """Start a nursery with that ``environment``. Elsewhere than on Linux nothing is started."""
        if not _become_subreaper():
            log.info("trainers start cold: this system gives no orphan to its grandparent")
            return
        self._stopping.clear()
        self._become(None, _State.IMPORTING)
        # The system tells the nursery of this thread's end: it must live as long as the worker does.
        self._thread = threading.Thread(target=self._keep, args=(environment, home), name="nursery", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the nursery. Trainers that were born live on."""
        self._stopping.set()
        with self._changed:
            if self._nursery is not None:
                self._nursery.process.kill()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def wait_until_ready(self, *, seconds: float) -> bool:
        """Whether there is a nursery that has imported everything. Does not wait where there is none at all."""
        with self._changed:
            self._changed.wait_for(lambda: self._state is not _State.IMPORTING, timeout=seconds)
            return self._state is _State.READY

    def bear(self, run_dir: Path, *, events: int, control: int, log: int, hub_token: int | None = None) -> Born:
        """A trainer of ``run_dir``, a child of this process, in a process group of its own.

        Raises NurseryUnavailableError if there is no nursery, or none that answers in time.
        """
        with self._requests:
            ready = self.wait_until_ready(seconds=min(PATIENCE_SECONDS, get_settings().lease_seconds / 4))
            nursery = self._nursery
            if nursery is None or not ready:
                raise NurseryUnavailableError("there is no nursery that is ready")
            descriptors = [events, control, log] + ([] if hub_token is None else [hub_token])
            return nursery.bear(run_dir, descriptors)

    def _keep(self, environment: Mapping[str, str], home: Path) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            started_at = time.monotonic()
            exit_code = self._one_life(environment, home)
            if self._stopping.is_set():
                return
            if time.monotonic() - started_at > SETTLED_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            log.warning(
                "the nursery ended; trainers start cold meanwhile", exit_code=exit_code, restart_in_seconds=pause
            )
            self._stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _one_life(self, environment: Mapping[str, str], home: Path) -> int | None:
        """The exit code of a nursery, once it has ended; None if it could not be started."""
        try:
            nursery = _Nursery(environment=environment, home=home)
        except OSError as error:
            log.warning("the nursery cannot be started", error=str(error))
            self._become(None, _State.ABSENT)
            return None
        self._become(nursery, _State.IMPORTING)
        if self._stopping.is_set():  # asked for meanwhile, when there was nothing to kill yet
            nursery.process.kill()
        if nursery.wait_until_ready():
            self._become(nursery, _State.READY)
            log.info("the nursery is ready", pid=nursery.process.pid)
        exit_code = nursery.process.wait()
        self._become(None, _State.ABSENT)
        with self._requests:
            nursery.channel.close()
        return exit_code

    def _become(self, nursery: _Nursery | None, state: _State) -> None:
        with self._changed:
            self._nursery, self._state = nursery, state
            self._changed.notify_all()


NURSERY: Final = Keeper()
"""This worker's; it has no nursery until it is started."""


@contextlib.contextmanager
def running(*, environment: Mapping[str, str], home: Path) -> Iterator[None]:
    NURSERY.start(environment=environment, home=home)
    try:
        yield
    finally:
        NURSERY.stop()


def _become_subreaper() -> bool:
    """Have this process inherit what its descendants leave behind; False where the system cannot."""
    if sys.platform != "linux":
        return False
    failed: int = ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    return failed == 0
