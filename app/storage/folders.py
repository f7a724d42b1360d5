"""Sealed folders of the home and their copies in the store. Without ``TUNERY_ARTEFACTS_URL`` the home is all there is.

With it the home is this machine's mirror: code writes and reads below the home as ever, publishes what it wrote before a row
names it, and fetches what a row names before it reads it. The key of a folder is its path in the home. In the store, too, a
folder counts once its manifest is there, which is written last and removed first.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import structlog

from app import failpoints, manifest
from app.clock import utc_now
from app.config import get_settings
from app.manifest import MANIFEST, CorruptArtefactError, Manifest, read_manifest
from app.storage import holding
from app.storage.download import download, stored_manifest
from app.storage.errors import StoreUnavailable
from app.storage.eviction import EVICTABLE, evict, make_room, remove_copy
from app.storage.remote import PART_BYTES, Remote, remote_at

log = structlog.get_logger(__name__)


def remote_store() -> Remote | None:
    """None: artefacts are in the home alone."""
    url = get_settings().artefacts_url
    return None if url is None else remote_at(url)


def key_of(path: Path) -> str:
    return path.relative_to(get_settings().home_dir).as_posix()


def publish(folder: Path, *, guarded: Callable[[Path], AbstractContextManager[Path]] = nullcontext) -> None:
    """Bring the sealed ``folder`` into the store, durably. Done again after it was cut off, it sends what is missing.

    ``guarded``: of a folder that others may still change, from where each of its files is to be read, or why it is not.
    Raises StoreUnavailable, what ``guarded`` does, and CorruptArtefactError if the folder is not sealed.
    """
    remote = remote_store()
    if remote is None:
        return
    key, sealed = key_of(folder), read_manifest(folder)
    stored = {entry.key: entry.size for entry in remote.entries(key)}
    if f"{key}/{MANIFEST}" in stored:
        if _is_stored(remote, key, sealed, sizes=stored):
            _keep_copy(key)
            return
        remote.delete([f"{key}/{MANIFEST}"])
        stored = {}
    for name, entry in sealed.files.items():
        if stored.get(f"{key}/{name}") != entry["bytes"]:
            with guarded(folder / name) as path:
                remote.put(path, f"{key}/{name}")
        failpoints.reach("store.sent_file")
    with guarded(folder / MANIFEST) as path:
        remote.put(path, f"{key}/{MANIFEST}")
    failpoints.reach("store.published")
    _keep_copy(key)


def is_stored(folder: Path) -> bool:
    """Whether the store has a whole folder of that name. Without a store there is none."""
    remote = remote_store()
    if remote is None:
        return False
    try:
        _look_at_stored(remote, key_of(folder))
    except CorruptArtefactError:
        return False
    return True


def renew(folder: Path) -> None:
    """Make the folder in the store young again: it is not a leftover."""
    remote = remote_store()
    if remote is not None:
        key = f"{key_of(folder)}/{MANIFEST}"
        remote.write(key, remote.read(key))


def fetch(folder: Path, *, manifest_sha256: str | None = None) -> Path:
    """``folder``, once it is on this machine. However many ask for it at a time, it is downloaded once.

    Raises StoreUnavailable, and CorruptArtefactError when the store has none, or another than ``manifest_sha256``, or
    bytes that are not those of its manifest. Without a store it looks at nothing.
    """
    remote = remote_store()
    if remote is None:
        return folder
    key = key_of(folder)
    while True:
        descriptor = _locked(key, alone=False)
        if (folder / MANIFEST).is_file():
            holding.used(key)
            holding.keep(key, descriptor)
            return folder
        os.close(descriptor)
        descriptor = _locked(key, alone=True)
        try:
            if not (folder / MANIFEST).is_file():
                download(remote, key, folder, expected_sha256=manifest_sha256)
                log.info("fetched from the store", key=key)
        finally:
            os.close(descriptor)


def fetch_whole(folder: Path, *, manifest_sha256: str | None = None) -> Manifest:
    """The manifest of ``folder``, each byte of which was compared. A damaged copy is replaced from the store, if there is one.

    Raises CorruptArtefactError and StoreUnavailable.
    """
    fetch(folder, manifest_sha256=manifest_sha256)
    try:
        return manifest.verify(folder, expected_sha256=manifest_sha256)
    except CorruptArtefactError as error:
        if not discard_copy(folder):
            raise
        log.warning("a damaged copy is fetched again", folder=folder.name, error=str(error))
    fetch(folder, manifest_sha256=manifest_sha256)
    return manifest.verify(folder, expected_sha256=manifest_sha256)


def discard_copy(folder: Path) -> bool:
    """Remove this machine's copy of what is in the store. False: it is not there, or others use it, and nothing was done."""
    if not is_stored(folder):
        return False
    holding.let_go(key_of(folder))
    return evict(key_of(folder))


def look_at(folder: Path, *, expected_sha256: str | None = None) -> Manifest:
    """The manifest, with every file as long as it was; looked at in the store where there is one.

    Raises CorruptArtefactError and StoreUnavailable.
    """
    remote = remote_store()
    if remote is None:
        return manifest.look_at(folder, expected_sha256=expected_sha256)
    return _look_at_stored(remote, key_of(folder), expected_sha256=expected_sha256)


def verify(folder: Path, *, expected_sha256: str | None = None) -> Manifest:
    """Read every byte, in the store where there is one, and compare. Raises CorruptArtefactError and StoreUnavailable."""
    remote = remote_store()
    if remote is None:
        return manifest.verify(folder, expected_sha256=expected_sha256)
    key = key_of(folder)
    stored = _look_at_stored(remote, key, expected_sha256=expected_sha256)
    for name, entry in stored.files.items():
        digest = hashlib.sha256()
        with remote.open(f"{key}/{name}") as file:
            while block := file.read(PART_BYTES):
                digest.update(block)
        if digest.hexdigest() != entry["sha256"]:
            raise CorruptArtefactError(f"{folder.name}/{name} has changed since it was written")
    return stored


def opened(path: Path) -> BinaryIO:
    """A file of a sealed folder: this machine's copy, or as it comes from the store. Raises FileNotFoundError, StoreUnavailable."""
    remote = remote_store()
    try:
        return path.open("rb")
    except FileNotFoundError:
        if remote is None:
            raise
        return remote.open(key_of(path))


def read(path: Path, *, start: int = 0, num_bytes: int | None = None) -> bytes:
    """Bytes of a file, of this machine's copy or the store's; of a small file all. Raises FileNotFoundError, StoreUnavailable."""
    remote = remote_store()
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(num_bytes)
    except FileNotFoundError:
        if remote is None:
            raise
        return remote.read(key_of(path), start=start, end=None if num_bytes is None else start + num_bytes)


def put_file(path: Path) -> None:
    """Store a file that belongs to no sealed folder, such as a log, as it is now."""
    remote = remote_store()
    if remote is not None:
        remote.put(path, key_of(path))


def presigned(path: Path, *, content_disposition: str, content_type: str) -> str | None:
    """Where anybody may read this file for some minutes; None: nowhere but here."""
    remote = remote_store()
    if remote is None:
        return None
    return remote.presigned(key_of(path), content_disposition=content_disposition, content_type=content_type)


def remove(folder: Path) -> None:
    """Delete a folder that no row names any more, here and in the store. One that the store cannot delete now is a leftover there."""
    remote = remote_store()
    if remote is None:
        remove_copy(folder)
        return
    key = key_of(folder)
    holding.let_go(key)
    if not evict(key):  # somebody reads it, and goes on with the files that are open
        remove_copy(folder)
    with suppress(StoreUnavailable):
        remove_stored(folder)


def remove_stored(folder: Path) -> None:
    """Delete a folder in the store; a copy here stays. Raises StoreUnavailable."""
    remote = remote_store()
    if remote is not None:
        key = key_of(folder)
        remote.delete([f"{key}/{MANIFEST}"])
        remote.delete_below(key)


def stored_folders(root: Path, *, depth: int = 1) -> dict[Path, datetime]:
    """Folders in the store so many steps below ``root``, whole or not, and when anything in them was written last."""
    remote = remote_store()
    newest: dict[Path, datetime] = {}
    for entry in remote.entries(key_of(root)) if remote is not None else ():
        parts = Path(entry.key).relative_to(key_of(root)).parts
        if len(parts) > depth:
            folder = root.joinpath(*parts[:depth])
            newest[folder] = max(entry.modified, newest.get(folder, entry.modified))
    return newest


def resting(root: Path, *, older_than: timedelta) -> list[Path]:
    """Those right below ``root`` in which nothing was written for so long."""
    limit = utc_now() - older_than
    return [folder for folder, written in stored_folders(root).items() if written < limit]


def _keep_copy(key: str) -> None:
    """What this machine wrote is its copy from now on."""
    if key.startswith(EVICTABLE):
        holding.keep(key, _locked(key, alone=False))
        holding.used(key)
        make_room(0)


def _locked(key: str, *, alone: bool) -> int:
    descriptor = holding.lock(key, alone=alone)
    assert descriptor is not None, "it was waited for"
    return descriptor


def _is_stored(remote: Remote, key: str, sealed: Manifest, *, sizes: dict[str, int]) -> bool:
    """Whether the store has this very folder."""
    try:
        stored, _ = stored_manifest(remote, key)
    except CorruptArtefactError:
        return False
    whole = all(sizes.get(f"{key}/{name}") == entry["bytes"] for name, entry in stored.files.items())
    return whole and stored.sha256 == sealed.sha256


def _look_at_stored(remote: Remote, key: str, *, expected_sha256: str | None = None) -> Manifest:
    stored, _ = stored_manifest(remote, key, expected_sha256=expected_sha256)
    sizes = {entry.key: entry.size for entry in remote.entries(key)}
    for name, entry in stored.files.items():
        size = sizes.get(f"{key}/{name}")
        if size != entry["bytes"]:
            told = "is missing" if size is None else f"has {size} bytes, not {entry['bytes']}"
            raise CorruptArtefactError(f"{key}/{name} {told} in the store")
    return stored
