"""Who on this machine uses which folder of the mirror: a lock file for each, whose age says when it was used last.

Whoever reads a folder holds its lock together with others; whoever brings it or removes it, alone. The system lets go of the
locks of a process that died. A folder without such a file was never in the store, and is not the mirror's to remove.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from app.config import get_settings

_FOLDER: Final = "mirror"


class Hold:
    """Locks that are kept until it ends."""

    def __init__(self) -> None:
        self._descriptors: dict[str, int] = {}

    def add(self, key: str, descriptor: int) -> None:
        """Takes the descriptor, which is locked."""
        if key in self._descriptors:
            os.close(descriptor)
        else:
            self._descriptors[key] = descriptor

    def let_go(self, key: str) -> None:
        if key in self._descriptors:
            os.close(self._descriptors.pop(key))

    def end(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])


_current: ContextVar[Hold | None] = ContextVar("hold", default=None)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """What is fetched or published in this block, by this thread, stays on this machine until the block ends."""
    hold = Hold()
    token = _current.set(hold)
    try:
        yield
    finally:
        _current.reset(token)
        hold.end()


def locks_dir() -> Path:
    """Not in the cache, which is the trainer's where it is confined: it could say what is to be removed."""
    return get_settings().home_dir / _FOLDER


def keep(key: str, descriptor: int) -> None:
    """The locked descriptor goes to the hold of this thread; without one it is let go of."""
    hold = _current.get()
    if hold is None:
        os.close(descriptor)
    else:
        hold.add(key, descriptor)


def let_go(key: str) -> None:
    """This thread does not use it any more, whatever its hold says."""
    hold = _current.get()
    if hold is not None:
        hold.let_go(key)


def lock(key: str, *, alone: bool, wait: bool = True) -> int | None:
    """A descriptor that holds the lock until it is closed; None if it is taken and not waited for."""
    path = _path(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    operation = (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, operation)
            if os.fstat(descriptor).st_size == 0:
                os.write(descriptor, key.encode())
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass  # it was removed meanwhile
        os.close(descriptor)


def used(key: str) -> None:
    """Now."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(_path(key))


def forget(key: str) -> None:
    """Only for who holds the lock alone."""
    _path(key).unlink(missing_ok=True)


def by_age() -> list[str]:
    """Keys of what is, or was, mirrored here: the one that was used longest ago comes first."""
    found = []
    for path in locks_dir().glob("*"):
        with contextlib.suppress(FileNotFoundError):
            found.append((path.stat().st_mtime_ns, path.read_text(encoding="utf-8")))
    return [key for _, key in sorted(found) if key]


def _path(key: str) -> Path:
    return locks_dir() / hashlib.sha256(key.encode()).hexdigest()[:40]
