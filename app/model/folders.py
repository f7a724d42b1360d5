"""Sealed folders on their way into and out of the folder of artefacts."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from app.manifest import TEMPORARY_PREFIX, CorruptArtefactError, Manifest, committed_folder, sha256_of


def move(folder: Path, target: Path, *, manifest: Manifest) -> None:
    """A rename within a file system; across two, a copy whose every byte is compared before the original is removed.

    Raises CorruptArtefactError when a byte is not that of the manifest.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_dev == target.parent.stat().st_dev:
        folder.rename(target)
        _flush_folder(target.parent)
        return
    with committed_folder(target, about=manifest.about) as copy:
        for name, entry in manifest.files.items():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, copy / name)
            if sha256_of(copy / name) != entry["sha256"]:
                raise CorruptArtefactError(f"{folder.name}/{name} has changed since it was written")
    shutil.rmtree(folder, ignore_errors=True)


def remove(folder: Path) -> None:
    """Delete ``folder``: first out of sight, then file by file."""
    doomed = folder.with_name(f"{TEMPORARY_PREFIX}deleted-{folder.name}")
    try:
        folder.rename(doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed, ignore_errors=True)


def last_written(folder: Path) -> datetime:
    """When anything in it was written last."""
    stamps = [path.stat().st_mtime for path in (folder, *folder.rglob("*"))]
    return datetime.fromtimestamp(max(stamps), tz=UTC)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
