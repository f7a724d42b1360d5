"""The way in: what the worker asks of a running trainer.

``finish``, ``drain`` and ``cancel`` come as lines on the control descriptor; SIGTERM means ``drain``. ``recorded N`` says that the
checkpoint of step N stands in the database. The descriptor is also a death pipe: its end of file means that the worker is gone, and the trainer with it, at once.
"""

import math
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from app.spec.run import ExitCode

ORPHANED: Final = 70
"""Exit code when the worker died; nobody is left to read it."""

FORCED_EXIT_SECONDS: Final = 5.0
"""How long a stop may wait for library code that does not return; then the process ends where it is."""


class Stopped(BaseException):
    """The attempt ends here because it was asked to, with this exit code.

    Like KeyboardInterrupt it is not an error: no library's ``except Exception`` may catch it.
    """

    def __init__(self, code: ExitCode) -> None:
        super().__init__(code.name)
        self.code = code


class Control:
    """What has been asked for so far.

    Outside of ``deferred()`` a request raises ``Stopped`` in the main thread wherever it is. Inside, the training loop
    asks: ``requested`` holds the exit code until ``raise_if_stopped()`` is called at a place where stopping is right. Where
    all processes of a group must drain at the same place (``together``), it holds a drain once they have agreed on it.
    """

    def __init__(self, *, wake_up: signal.Signals = signal.SIGTERM) -> None:
        """``wake_up``: the signal that means ``drain``, and by which a request interrupts the main thread."""
        self._wake_up = wake_up
        self.requested: ExitCode | None = None
        self.wants_to_finish = False
        """This process was asked to make the step that runs the last; the others of its group need not know yet."""
        self.must_finish = False
        """All of them know."""
        self.recorded_step = math.inf
        """Of the newest checkpoint that the worker has recorded; infinite where there is no worker."""
        self._deferred = self._together = False
        self._asked = False
        """A drain was asked for that not all processes know of."""

    def start(self, descriptor: int | None) -> None:
        """Listen to the signal and, if given, to the control descriptor. Main thread only."""
        signal.signal(self._wake_up, self._on_signal)
        if descriptor is not None:
            self.recorded_step = 0
            threading.Thread(target=self._listen, args=(descriptor,), name="control", daemon=True).start()

    @contextmanager
    def deferred(self, *, together: bool = False) -> Iterator[None]:
        """Within the block requests wait for ``raise_if_stopped`` (a drain needs its checkpoint first).

        ``together``: and a drain for ``agree_to_stop``, since no process can write a checkpoint without the others.
        """
        self._deferred, self._together = True, together
        try:
            yield
        finally:
            self._deferred = self._together = False
        self._take_what_nobody_heard()
        self.raise_if_stopped()

    def _take_what_nobody_heard(self) -> None:
        """Asked for when there was no further step to agree in."""
        if self._asked:
            self.agree_to_stop()

    @property
    def wants_to_stop(self) -> bool:
        """This process was asked to; the others of its group need not know yet."""
        return self._asked or self.requested is not None

    @property
    def interrupts(self) -> bool:
        """An evaluation is to be broken off: by this process alone, or where they act together by all, who are told of it."""
        return self.wants_to_stop if self._together else self.requested is not None

    def agree_to_stop(self) -> None:
        """Some process of the group was asked to, and all know it: each drains after this step."""
        if self.requested is None:
            self.requested = ExitCode.DRAINED

    def cancelled(self) -> bool:
        return self.requested is ExitCode.CANCELLED

    def raise_if_stopped(self) -> None:
        """Raises Stopped if a stop was asked for."""
        if self.requested is not None:
            raise Stopped(self.requested)

    def raise_if_cancelled(self) -> None:
        """Raises Stopped if the job was cancelled; a drain waits for its checkpoint."""
        if self.cancelled():
            self.raise_if_stopped()

    def _listen(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb") as lines:
            for line in lines:
                match line.split():
                    case [b"recorded", step]:
                        self.recorded_step = int(step)
                    case [b"finish"]:
                        self.wants_to_finish = True
                    case [b"drain"]:
                        self._request(ExitCode.DRAINED)
                    case [b"cancel"]:
                        self._request(ExitCode.CANCELLED)
                    case _:
                        print(f"control: no such request: {line!r}", file=sys.stderr)  # noqa: T201 - the trainer's log
        os._exit(ORPHANED)

    def _request(self, code: ExitCode) -> None:
        """A cancel overrides a drain, never the other way round. The signal wakes the main thread."""
        if not self.cancelled() and not (self._together and code is ExitCode.DRAINED):
            self.requested = code
        os.kill(os.getpid(), self._wake_up)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._together and not self.cancelled():
            self._asked = True
            return
        if self.requested is None:
            self.requested = ExitCode.DRAINED
        if self._deferred and not self.cancelled():
            return
        force = threading.Timer(FORCED_EXIT_SECONDS, os._exit, (int(self.requested),))
        force.daemon = True
        force.start()
        if not self._deferred:
            self.raise_if_stopped()


class FollowersControl(Control):
    """Of a process that does not lead its group: what it is asked for it passes on, and stops with all the others."""

    @property
    def wants_to_stop(self) -> bool:
        return self._asked

    def _take_what_nobody_heard(self) -> None:
        """This process goes on as long as the leader does, who may need it."""

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
