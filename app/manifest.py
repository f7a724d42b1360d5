"""A folder that is either whole or known not to be: files, then ``manifest.json`` with the size and SHA-256 of each.

The commit protocol: write into a temporary folder beside the target, flush the files, write the manifest, flush it,
rename, flush the parent. A folder without a manifest was never committed. Own checksums are needed because safetensors
and ``torch.save`` load a flipped byte without a word.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from app import failpoints

MANIFEST: Final = "manifest.json"
TEMPORARY_PREFIX: Final = ".tmp-"
_CHUNK_BYTES: Final = 4 * 2**20


class CorruptArtefactError(Exception):
    """A file is missing, has another size, or another hash than its manifest says."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a committed folder holds."""

    files: dict[str, dict[str, Any]]
    """``{relative name: {"bytes": …, "sha256": …}}``"""
    about: dict[str, Any]
    """What the writer wanted to say of it, such as the step of a checkpoint."""
    sha256: str
    """Hash of the manifest file itself: it stands for the whole folder."""

    @property
    def size_bytes(self) -> int:
        return sum(int(entry["bytes"]) for entry in self.files.values())

    def weights_sha256(self) -> str:
        """One hash over all ``*.safetensors`` but those in folders: of the file itself if there is one, else of all."""
        weights = {
            name: entry["sha256"]
            for name, entry in sorted(self.files.items())
            if name.endswith(".safetensors") and "/" not in name
        }
        if len(weights) == 1:
            return str(next(iter(weights.values())))
        return hashlib.sha256(orjson.dumps(weights)).hexdigest()


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def committed_folder(target: Path, *, about: dict[str, Any] | None = None) -> Iterator[Path]:
    """Yield a temporary folder to fill; on leaving the block without an error it becomes ``target``, durably.

    Raises FileExistsError when ``target`` is there already. On an error nothing is left behind.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f"{TEMPORARY_PREFIX}{target.name}-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    failpoints.reach("folder.begun")
    try:
        yield temporary
        failpoints.reach("folder.filled")
        seal(temporary, about=about or {})
        if target.exists():
            raise FileExistsError(target)
        failpoints.reach("folder.sealed")
        temporary.rename(target)
        failpoints.reach("folder.renamed")
        _flush(target.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def seal(folder: Path, *, about: dict[str, Any]) -> Manifest:
    """Flush every file of ``folder`` to the disk and write its manifest."""
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST):
        _flush(path)
        files[path.relative_to(folder).as_posix()] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    for path in (p for p in folder.rglob("*") if p.is_dir()):
        _flush(path)
    manifest = folder / MANIFEST
    manifest.write_bytes(orjson.dumps({"files": files, "about": about}, option=orjson.OPT_INDENT_2))
    _flush(manifest)
    _flush(folder)
    return read_manifest(folder)


def add_file(folder: Path, name: str, content: bytes) -> Manifest:
    """Put one more file into a committed folder, and commit it again; on the way it stays what it was.

    Raises FileExistsError if the manifest has a file of that name.
    """
    before = read_manifest(folder)
    if name in before.files:
        raise FileExistsError(folder / name)
    path = folder / name
    path.write_bytes(content)
    _flush(path)
    entry = {"bytes": len(content), "sha256": sha256_of(path)}
    files = dict(sorted({**before.files, name: entry}.items()))
    unnamed = folder / f"{TEMPORARY_PREFIX}{MANIFEST}"
    unnamed.write_bytes(orjson.dumps({"files": files, "about": before.about}, option=orjson.OPT_INDENT_2))
    _flush(unnamed)
    unnamed.rename(folder / MANIFEST)
    _flush(folder)
    return read_manifest(folder)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a committed folder. Raises CorruptArtefactError if there is none or it cannot be read."""
    try:
        content = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise CorruptArtefactError(f"{folder.name}: no readable manifest") from error
    return parse_manifest(content, name=folder.name)


def parse_manifest(content: bytes, *, name: str) -> Manifest:
    """The manifest of the folder ``name``. Raises CorruptArtefactError if it is none."""
    try:
        parsed = orjson.loads(content)
        for file in parsed["files"]:
            if file.startswith("/") or not {"", ".", ".."}.isdisjoint(file.split("/")):
                raise CorruptArtefactError(f"{name}: the manifest names a file that lies elsewhere: {file!r}")
        return Manifest(files=parsed["files"], about=parsed["about"], sha256=hashlib.sha256(content).hexdigest())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptArtefactError(f"{name}: no readable manifest") from error


def look_at(folder: Path, *, expected_sha256: str | None = None) -> Manifest:
    """The manifest, with every file there and as long as it was. Quick, and blind to changed bytes. Raises CorruptArtefactError."""
    manifest = read_manifest(folder)
    if expected_sha256 is not None and manifest.sha256 != expected_sha256:
        raise CorruptArtefactError(f"{folder.name}: the manifest is not the one that was committed")
    for name, entry in manifest.files.items():
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            raise CorruptArtefactError(f"{folder.name}/{name} is missing") from error
        if size != entry["bytes"]:
            raise CorruptArtefactError(f"{folder.name}/{name} has {size} bytes, not {entry['bytes']}")
    return manifest


def verify(folder: Path, *, expected_sha256: str | None = None) -> Manifest:
    """Read every file of ``folder`` and compare. Raises CorruptArtefactError at the first that differs."""
    manifest = look_at(folder, expected_sha256=expected_sha256)
    for name, entry in manifest.files.items():
        if sha256_of(folder / name) != entry["sha256"]:
            raise CorruptArtefactError(f"{folder.name}/{name} has changed since it was written")
    return manifest


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
