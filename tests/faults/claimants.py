"""Several claimants (``tests.faults.claimant``) that start in the same moment."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Literal, TextIO

from tests.stack.processes import ROOT


class Claimants:
    def __init__(self, ends: list[tuple[TextIO, TextIO]], parent: subprocess.Popen[bytes]) -> None:
        self._ends, self._parent = ends, parent

    def begin(self) -> None:
        for told, _ in self._ends:
            told.write("\n")
            told.flush()

    def results(self) -> list[dict[str, Any]]:
        """What each wrote at its end, which this asks for."""
        for told, _ in self._ends:
            told.close()
        written = [heard.read() for _, heard in self._ends]
        assert self._parent.wait() == 0
        return [json.loads(each) for each in written]


@contextmanager
def claimants(mode: Literal["race", "work"], *, count: int, **settings: str) -> Iterator[Claimants]:
    """All are ready, and wait for ``begin``."""
    with ExitStack() as files:
        ends, theirs = [], []
        for _ in range(count):
            (read_told, write_told), (read_heard, write_heard) = os.pipe(), os.pipe()
            ends.append((files.enter_context(open(write_told, "w")), files.enter_context(open(read_heard))))  # noqa: PTH123
            theirs.append((read_told, write_heard))
        passed = [descriptor for pair in theirs for descriptor in pair]
        parent = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.claimant", mode, *(f"{told}:{heard}" for told, heard in theirs)],
            env=dict(os.environ) | {"PYTHONPATH": str(ROOT)} | settings,
            cwd=ROOT,
            pass_fds=passed,
            start_new_session=True,
        )
        for descriptor in passed:
            os.close(descriptor)
        try:
            for _, heard in ends:
                assert heard.readline() == "ready\n"
            yield Claimants(ends, parent)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(parent.pid, signal.SIGKILL)
            parent.wait()
