"""Room on the disk: kept free for what is under way, and told in the user's words where it is gone."""

import errno
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.errors import OutOfSpace

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_IN_RUST: Final = tuple(f"os error {number}" for number in sorted(_FULL))
"""As safetensors and tokenizers say it, whose errors carry no number."""

_HINT: Final = "Delete files or models, or enlarge the disk."


def is_full(error: BaseException) -> bool:
    """Whether it tells of a disk, or a quota, without room."""
    return getattr(error, "errno", None) in _FULL or any(words in str(error) for words in _FULL_IN_RUST)


@contextmanager
def full_disk_told(what: str) -> Iterator[None]:
    """Turn a full disk into OutOfSpace, saying that ``what`` ("the file") was not stored."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise OutOfSpace(f"The disk is full; {what} was not stored.", hint=_HINT) from error


def clock_of(folder: Path) -> float:
    """Now, as seconds since 1970, by the clock that stamps what is written in ``folder``.

    On a network's file system that is its server's, and this machine's may be hours off. Touches the folder.
    """
    os.utime(folder)
    return folder.stat().st_mtime


def last_change(folder: Path) -> float:
    """When anything in it changed last, by the same clock; never yet, if it vanishes meanwhile."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return math.inf


def has_room(folder: Path, *, min_free_bytes: int) -> bool:
    """Whether so much is free where ``folder`` lies, or will lie."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free >= min_free_bytes


def refuse_without_room(folder: Path, *, min_free_bytes: int, what: str) -> None:
    """Raises OutOfSpace, saying that ``what`` was not stored. What is left then belongs to running jobs and the database."""
    if not has_room(folder, min_free_bytes=min_free_bytes):
        raise OutOfSpace(
            f"Less than {min_free_bytes / 2**20:.0f} MiB are free on the disk; {what} was not stored.", hint=_HINT
        )
