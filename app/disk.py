"""A full disk, told in the user's words."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from app.errors import OutOfSpace

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def full_disk_told(what: str) -> Iterator[None]:
    """Turn a full disk into OutOfSpace, saying that ``what`` ("the file") was not stored."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise OutOfSpace(f"The disk is full; {what} was not stored.", hint="Delete files or models.") from error
