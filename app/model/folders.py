"""Sealed folders on their way into and out of the folder of artefacts."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app import storage
from app.clock import utc_now
from app.manifest import CorruptArtefactError, Manifest, committed_folder, sha256_of


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


def last_written(folder: Path) -> datetime:
    """When anything in it was written last."""
    stamps = [path.stat().st_mtime for path in (folder, *folder.rglob("*"))]
    return datetime.fromtimestamp(max(stamps), tz=UTC)


def old_folders(root: Path, *, older_than: timedelta) -> set[Path]:
    """Those below ``root``, here or in the store, in which nothing was written for so long; in neither, where it is in both."""
    limit = utc_now() - older_than
    here = {path for path in root.glob("*") if path.is_dir()}
    stored = storage.stored_folders(root)
    return {
        folder
        for folder in here | stored.keys()
        if (folder not in here or last_written(folder) < limit) and (folder not in stored or stored[folder] < limit)
    }


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
