"""The mirror's limit: what was used longest ago goes, unless somebody uses it."""

import os
import shutil
from pathlib import Path
from typing import Final

import structlog

from app.config import get_settings
from app.manifest import MANIFEST, TEMPORARY_PREFIX
from app.storage import holding

log = structlog.get_logger(__name__)

DOOMED_PREFIX: Final = f"{TEMPORARY_PREFIX}deleted-"
"""Of folders that are being deleted: whoever finds one may go on with it."""

EVICTABLE: Final = "artefacts/"
"""Where keys begin with it. Checkpoints lie among a job's own files, and go with them."""


def make_room(num_bytes: int) -> None:
    """Remove copies until so much more is within ``TUNERY_CACHE_BYTES``, and the disk keeps ``TUNERY_MIN_FREE_BYTES`` free.

    What is in use stays, so that afterwards there may still be too much.
    """
    settings = get_settings()
    sizes = {}
    for key in holding.by_age():
        if not (settings.home_dir / key).exists():
            evict(key)  # only its lock file is left
        elif key.startswith(EVICTABLE):
            sizes[key] = size_of(settings.home_dir / key)
    total = sum(sizes.values()) + num_bytes
    for key, size in sizes.items():
        free = shutil.disk_usage(settings.home_dir).free - num_bytes
        if total <= settings.cache_bytes and free >= settings.min_free_bytes:
            return
        if size and evict(key):
            total -= size


def evict(key: str) -> bool:
    """Remove this machine's copy, unless somebody uses it. Whether it is gone."""
    descriptor = holding.lock(key, alone=True, wait=False)
    if descriptor is None:
        return False
    folder = get_settings().home_dir / key
    try:
        if folder.exists():
            remove_copy(folder)
            log.info("a copy was removed", key=key)
        holding.forget(key)
    finally:
        os.close(descriptor)
    return True


def remove_copy(folder: Path) -> None:
    """First out of sight, then file by file. Only for who holds its lock alone."""
    doomed = folder.with_name(f"{DOOMED_PREFIX}{folder.name}")
    shutil.rmtree(doomed, ignore_errors=True)
    try:
        os.utime(folder)  # should this be cut off, it is a leftover from now on, and not since the folder was written
        folder.rename(doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed, ignore_errors=True)


def size_of(folder: Path) -> int:
    """0 if it is not whole, or not there."""
    if not (folder / MANIFEST).is_file():
        return 0
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
