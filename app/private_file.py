"""Files that hold a secret: whole from the moment they exist, for this user alone, made once however many processes ask."""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def read_or_make(path: Path, content: Callable[[], bytes]) -> bytes:
    """What the file holds. Of processes that find none at the same time one makes it, and all read the same."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)  # unlike a rename this does not take the place of another's
    finally:
        draft.unlink(missing_ok=True)
    return path.read_bytes()
