"""Data files on their way to the server and back, as documents."""

import io
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from app import ids
from app.client.address import segment
from app.client.connection import Connection
from app.client.errors import APIError, LocalFileError
from app.client.transport import UPLOAD_TIMEOUT_SECONDS

Document = dict[str, Any]


async def upload_file(
    connection: Connection,
    content: bytes | str | PathLike[str],
    *,
    filename: str | None = None,
    purpose: str = "fine-tune",
) -> Document:
    """Upload a file by its path, or bytes under a file name, and let the server check it: the file with its profile.

    Raises LocalFileError, and what the server says of the file with the path as a note.
    """
    if isinstance(content, bytes):
        name = filename or "data.jsonl"
        return await _upload(connection, io.BytesIO(content), name=name, purpose=purpose)
    path = Path(content)
    if not path.is_file():
        raise LocalFileError(
            f"There is no file {path}.", hint="Give the path of a JSONL, CSV or Parquet file.", code="no_such_file"
        )
    try:
        with path.open("rb") as opened:
            return await _upload(connection, opened, name=filename or path.name, purpose=purpose)
    except PermissionError as error:
        raise LocalFileError(f"The file {path} may not be read.", code="unreadable_file") from error
    except APIError as error:
        error.add_note(f"in {path}")  # the server's complaint is about this file; say which
        raise


async def _upload(connection: Connection, content: io.BufferedIOBase, *, name: str, purpose: str) -> Document:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    file: Document = await connection.upload(
        "/files", fields={"purpose": purpose}, files=[("file", (name, content, kind))]
    )
    return file


async def save(connection: Connection, path: str, target: Path) -> None:
    """Write what the server has at ``path`` to a file, which is whole or not there. Raises LocalFileError."""
    part = target.with_name(f"{target.name}.part")
    try:
        async with connection.stream(path, timeout_seconds=UPLOAD_TIMEOUT_SECONDS) as stream:
            with part.open("wb") as opened:
                async for block in stream.blocks():
                    opened.write(block)
        part.replace(target)
    except OSError as error:
        raise LocalFileError(f"{target} cannot be written: {error.strerror}", code="unwritable_file") from error
    finally:
        part.unlink(missing_ok=True)


def content_path(file_id: str) -> str:
    return f"/files/{segment(file_id)}/content"


@dataclass(frozen=True)
class Splits:
    """What was given for the splits of a job, told apart: what stands in ``dataset`` as it is, and paths to be uploaded."""

    chosen: Mapping[str, Any]
    paths: Mapping[str, Path]

    @property
    def missing(self) -> dict[str, Path]:
        return {split: path for split, path in self.paths.items() if not path.is_file()}


def tell_apart(given: Mapping[str, Any], *, of_hub: bool) -> Splits:
    """A split is an uploaded file's id, a path, or ``of_hub`` a split's name; validation also a fraction or ``auto``."""
    chosen: dict[str, Any] = {}
    paths: dict[str, Path] = {}
    for split, value in given.items():
        fraction = _fraction(value) if split == "validation" else None
        if fraction is not None:
            chosen[split] = fraction
        elif hasattr(value, "id"):
            chosen[split] = value.id
        elif isinstance(value, str) and (
            of_hub or ids.is_id(value, ids.FILE) or (split == "validation" and value == "auto")
        ):
            chosen[split] = value
        else:
            paths[split] = Path(value)
    return Splits(chosen, paths)


def _fraction(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


async def upload_splits(connection: Connection, splits: Splits) -> dict[Path, Document]:
    """The uploaded files by their paths, each sent once. Raises LocalFileError before anything is sent if one is missing."""
    for split, path in splits.missing.items():
        raise LocalFileError(
            f"There is no file {path}.",
            param=split,
            hint="Give a path, the id of an uploaded file, or with dataset={'name': …} a split's name.",
            code="no_such_file",
        )
    return {path: await upload_file(connection, path) for path in dict.fromkeys(splits.paths.values())}


async def file_id_of(connection: Connection, file: Any) -> str:
    """The id of an uploaded file: of one that is given by id or as an object, or of a path or bytes after their upload."""
    if hasattr(file, "id"):
        return str(file.id)
    if isinstance(file, str) and ids.is_id(file, ids.FILE):
        return file
    uploaded = await upload_file(connection, file)
    return str(uploaded["id"])
