"""A model folder as a zip file that is made while it is sent: nothing is compressed, stored twice or held in memory."""

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from app import storage
from app.manifest import CorruptArtefactError

_BLOCK_BYTES: Final = 2**20


@dataclass(frozen=True, kw_only=True)
class ArchivedFolder:
    """Files that go into the archive."""

    path: Path
    files: Mapping[str, Mapping[str, Any]]
    """As in the manifest: ``{relative name: {"bytes": …, "sha256": …}}``."""
    name: str
    """The folder that they are in within the archive."""


def stream_zip(folders: Sequence[ArchivedFolder], *, stamp: datetime) -> Iterator[bytes]:
    """The files of ``folders`` in one archive. The same model gives the same bytes each time.

    What is read is compared with the manifest on the way. A file that differs raises CorruptArtefactError before the
    archive's directory is written, so that the client is left with a broken zip and never with wrong weights.
    """
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for folder, name in [(each, name) for each in folders for name in each.files]:
            info = zipfile.ZipInfo(f"{folder.name}/{name}", date_time=stamp.timetuple()[:6])
            info.external_attr = 0o644 << 16
            digest = hashlib.sha256()
            with storage.opened(folder.path / name) as source, archive.open(info, "w", force_zip64=True) as member:
                while block := source.read(_BLOCK_BYTES):
                    digest.update(block)
                    member.write(block)
                    yield pipe.take()
            if digest.hexdigest() != folder.files[name]["sha256"]:
                raise CorruptArtefactError(f"{folder.path.name}/{name} has changed since it was written")
    yield pipe.take()


class _Pipe(io.RawIOBase):
    """A file that cannot seek and forgets what was taken from it."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override] # narrower than any buffer
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        content = b"".join(self._pieces)
        self._pieces.clear()
        return content
