"""Base models that adapters are served on: one folder for each, named by the hash of its weights, whoever brought it.

None of them is a model that can be asked or trained from; they are there for the models whose rows name them, and go a day
after the last of those (``remove_unused``): until then a job that is about to publish may count on them.
"""

import os
import shutil
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from app import storage
from app.clock import utc_now
from app.config import get_settings
from app.db import reading
from app.manifest import (
    MANIFEST,
    TEMPORARY_PREFIX,
    CorruptArtefactError,
    Manifest,
    read_manifest,
    verify,
)
from app.model import repository
from app.model.folders import last_written, move, old_folders
from app.spec.serving import BASES_FOLDER


def bases_dir() -> Path:
    return get_settings().artefacts_dir / BASES_FOLDER


def base_dir(weights_sha256: str) -> Path:
    return bases_dir() / weights_sha256


def place_base(folder: Path, *, weights_sha256: str) -> Path:
    """Move the sealed ``folder`` to where bases lie, unless the same one is there already. Returns that place.

    One that is there but damaged is replaced. Done again after a crash it finds what the first call did. Raises
    CorruptArtefactError when neither is whole, and StoreUnavailable.
    """
    target = _placed(folder, weights_sha256=weights_sha256)
    if storage.is_stored(target):  # brought by whoever: its weights are the same
        storage.renew(target)
    else:
        storage.publish(target)
    return target


def _placed(folder: Path, *, weights_sha256: str) -> Path:
    target = base_dir(weights_sha256)
    brought = (folder / MANIFEST).exists()
    if target.exists():
        os.utime(target)  # before it is looked at: from now on it is in use, and not removed
        try:
            _expected(verify(target), weights_sha256)
        except CorruptArtefactError:
            if not brought:
                raise
            storage.remove(target)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            return target
    elif not brought:
        raise CorruptArtefactError(f"the base model {weights_sha256[:12]} is neither in the run directory nor kept")
    manifest = read_manifest(folder)
    if manifest.weights_sha256() != weights_sha256:
        raise CorruptArtefactError(f"{folder.name} holds another base model than it should")
    os.utime(folder)  # it was written when the job began, which may be long ago
    try:
        move(folder, target, manifest=manifest)
    except OSError:  # another worker was quicker: then it is the same
        if not target.exists():
            raise
        _expected(verify(target), weights_sha256)
        shutil.rmtree(folder, ignore_errors=True)
    return target


def fetch_base(weights_sha256: str) -> Path:
    """Where the base lies on this machine, each byte of it compared. Raises CorruptArtefactError and StoreUnavailable."""
    _expected(storage.fetch_whole(base_dir(weights_sha256)), weights_sha256)
    return base_dir(weights_sha256)


def verify_base(weights_sha256: str) -> Manifest:
    """Read the base whole, where it is kept. Raises CorruptArtefactError if it is missing, damaged or another, and StoreUnavailable."""
    return _expected(storage.verify(base_dir(weights_sha256)), weights_sha256)


def look_at_base(weights_sha256: str) -> Manifest:
    """The base's manifest, with every file there and as long as it was. Raises CorruptArtefactError and StoreUnavailable."""
    return _expected(storage.look_at(base_dir(weights_sha256)), weights_sha256)


def remove_unused(*, older_than: timedelta) -> list[str]:
    """Delete the bases that no model needs and nobody has placed or written for ``older_than``. Returns their names.

    That must exceed the time between the placing of a base and the row of its model.
    """
    old = old_folders(bases_dir(), older_than=older_than)
    with reading() as session:
        needed = repository.needed_bases(session)
    unused = [folder for folder in old if folder.name not in needed]
    for folder in unused:
        _remove_unless_placed_again(folder, older_than=older_than)
    return sorted(folder.name for folder in unused)


def _remove_unless_placed_again(folder: Path, *, older_than: timedelta) -> None:
    """A job may have placed it between the look and now: then it goes back."""
    doomed = (
        folder if folder.name.startswith(TEMPORARY_PREFIX) else folder.with_name(f"{TEMPORARY_PREFIX}{folder.name}")
    )
    if folder.exists():
        if doomed != folder:
            folder.rename(doomed)
        if last_written(doomed) >= utc_now() - older_than:
            with suppress(OSError):  # another has been put there: then this one is not needed
                doomed.rename(folder)
                return
        shutil.rmtree(doomed, ignore_errors=True)
    if folder in storage.resting(bases_dir(), older_than=older_than):
        storage.remove(folder)


def _expected(manifest: Manifest, weights_sha256: str) -> Manifest:
    if manifest.weights_sha256() != weights_sha256:
        raise CorruptArtefactError(f"{BASES_FOLDER}/{weights_sha256} holds another base model than its name says")
    return manifest
