"""Several claimants (``tests.faults.claimant``) that start in the same moment."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from tests.stack.processes import ROOT


class Claimants:
    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def begin(self) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()

    def results(self) -> list[dict[str, Any]]:
        """What each wrote at its end, which this asks for."""
        found = []
        for process in self._processes:
            written, _ = process.communicate()
            assert process.returncode == 0
            found.append(json.loads(written))
        return found


@contextmanager
def claimants(mode: Literal["race", "work"], *, count: int, **settings: str) -> Iterator[Claimants]:
    """All are ready, and wait for ``begin``."""
    command = [sys.executable, "-m", "tests.faults.claimant", mode]
    environment = dict(os.environ) | {"PYTHONPATH": str(ROOT)} | settings
    processes = [
        subprocess.Popen(command, env=environment, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(count)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield Claimants(processes)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
