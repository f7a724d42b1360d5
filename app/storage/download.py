"""From the store to this machine: whole, compared with its manifest, and gone on with where an earlier try was cut off."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app import failpoints
from app.manifest import MANIFEST, TEMPORARY_PREFIX, CorruptArtefactError, Manifest, parse_manifest
from app.storage.eviction import make_room
from app.storage.remote import PART_BYTES, Remote


def stored_manifest(remote: Remote, key: str, *, expected_sha256: str | None = None) -> tuple[Manifest, bytes]:
    """The manifest of a folder in the store, and its bytes. Raises CorruptArtefactError if there is none, or another."""
    name = key.rpartition("/")[2]
    try:
        content = remote.read(f"{key}/{MANIFEST}")
    except FileNotFoundError as error:
        raise CorruptArtefactError(f"{name} is not in the store") from error
    manifest = parse_manifest(content, name=name)
    if expected_sha256 is not None and manifest.sha256 != expected_sha256:
        raise CorruptArtefactError(f"{name}: the manifest is not the one that was committed")
    return manifest, content


def download(remote: Remote, key: str, target: Path, *, expected_sha256: str | None = None) -> None:
    """Bring the folder to ``target``. Only one may do so at a time. Raises CorruptArtefactError and StoreUnavailable."""
    manifest, content = stored_manifest(remote, key, expected_sha256=expected_sha256)
    make_room(manifest.size_bytes)
    partial = target.parent / f"{TEMPORARY_PREFIX}{target.name}-fetched"
    partial.mkdir(parents=True, exist_ok=True)
    os.utime(partial)  # leftovers are told by their age
    for name, entry in manifest.files.items():
        path = partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _download_file(remote, f"{key}/{name}", path, entry=entry)
        failpoints.reach("store.fetched_file")
    (partial / MANIFEST).write_bytes(content)
    partial.rename(target)


def _download_file(remote: Remote, key: str, path: Path, *, entry: Mapping[str, Any]) -> None:
    """What is there already of an earlier try is kept, if the whole then has the right hash."""
    resumed = path.is_file() and path.stat().st_size > 0
    if _completed(remote, key, path, entry=entry):
        return
    path.unlink()
    if not resumed or not _completed(remote, key, path, entry=entry):
        raise CorruptArtefactError(f"{key} is not what its manifest says")


def _completed(remote: Remote, key: str, path: Path, *, entry: Mapping[str, Any]) -> bool:
    """Whether the file, with what was missing, has the hash of its manifest."""
    digest, done, size = hashlib.sha256(), 0, int(entry["bytes"])
    with path.open("a+b") as file:
        file.seek(0)
        while block := file.read(PART_BYTES):
            digest.update(block)
            done += len(block)
        while done < size:
            end = min(done + PART_BYTES, size)
            try:
                block = remote.read(key, start=done, end=end)
            except FileNotFoundError as error:
                raise CorruptArtefactError(f"{key} is missing in the store") from error
            file.write(block)
            digest.update(block)
            if len(block) < end - done:
                return False
            done = end
    return done == size and digest.hexdigest() == entry["sha256"]
