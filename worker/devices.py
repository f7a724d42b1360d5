"""The GPUs of this machine, each lent to one job at a time: a job gets all that it asks for, or none.

A GPU is held by a lock on a file of its own in the home, which the system releases when the worker that holds it dies, however
it dies. Where there are no GPUs nothing is held, and jobs share the processors.
"""

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from app import host

_DRIVER: Final = Path("/proc/driver/nvidia/gpus")
_UUID: Final = "GPU UUID:"

LONGEST_TURN_SECONDS: Final = 10.0
"""Choosing takes a transaction of the database."""


def visible_gpus(environment: Mapping[str, str], *, driver: Path = _DRIVER) -> list[str]:
    """Names of the GPUs that trainers may use, as ``CUDA_VISIBLE_DEVICES`` takes them.

    Those of that variable, where it is set (empty: none); else all that NVIDIA's driver tells of.
    """
    if (listed := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
        names = [name.strip() for name in listed.split(",")]
        end = next((i for i, name in enumerate(names) if name in {"", "-1"}), len(names))  # as CUDA reads it
        return names[:end]
    found = []
    for about in sorted(driver.glob("*/information")):
        with contextlib.suppress(OSError):
            lines = about.read_text().splitlines()
            found += [line.removeprefix(_UUID).strip() for line in lines if line.startswith(_UUID)]
    return found


class Lent:
    """GPUs that are held, until ``give_back``."""

    def __init__(self, locks: Mapping[str, int], *, memory: Mapping[str, int]) -> None:
        self._locks = dict(locks)
        self._memory = memory

    @property
    def names(self) -> list[str]:
        return list(self._locks)

    @property
    def memory_bytes(self) -> list[int]:
        """Of each; 0 where it is unknown."""
        return [self._memory.get(name, 0) for name in self._locks]

    def give_back(self, *, keep: int = 0, least_bytes: int = 0) -> None:
        """All, or all but ``keep`` with so much memory: the smallest that will do, of equal ones the first."""
        large_enough = [name for name in self.names if self._memory.get(name, 0) >= least_bytes]
        kept = sorted(large_enough, key=lambda name: self._memory.get(name, 0))[:keep]
        for name in set(self.names) - set(kept):
            os.close(self._locks.pop(name))


class Devices:
    """The GPUs of this worker; other workers on this machine may have the same ones. For use by any thread."""

    def __init__(self, names: Sequence[str], *, folder: Path, memory: Mapping[str, int] | None = None) -> None:
        """``folder``: that of the locks, the same for all workers of the home. ``memory``: bytes by name, where they are known."""
        self._names = list(names)
        self._memory = dict(memory or {})
        self._folder = folder
        if names:
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def total(self) -> int:
        return len(self._names)

    @contextlib.contextmanager
    def free(self) -> Iterator[Lent]:
        """All GPUs that are free, to claim a job for them and give back the rest at once.

        While one worker is in this block the others wait for their turn: none takes the machine for full because another looks
        for a job.
        """
        with self._turn():
            lent = Lent(
                {name: lock for name in self._names if (lock := self._try(name)) is not None}, memory=self._memory
            )
            try:
                yield lent
            except BaseException:
                lent.give_back()
                raise

    def _try(self, name: str) -> int | None:
        """The descriptor that holds a lock, or None if another one does."""
        descriptor = self._open(name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Alone among the workers, or after ``LONGEST_TURN_SECONDS`` all the same: one that was halted must not halt the others."""
        deadline = time.monotonic() + LONGEST_TURN_SECONDS
        while (turn := self._try("turn")) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            yield
        finally:
            if turn is not None:
                os.close(turn)

    def _open(self, name: str) -> int:
        """A file for each name of a GPU on this machine: a number names one of each."""
        boot = host.identity().partition("/")[0]  # the same in all containers of a machine
        digest = hashlib.sha256(f"{boot}/{name}".encode()).hexdigest()[:16]
        return os.open(self._folder / f"gpu-{digest}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
