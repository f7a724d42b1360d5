"""One upload: the parts of a form become a checked data file in a folder. No SQL, no HTTP."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from app.dataset.formats import HEAD_BYTES, DataFormat, find_format
from app.dataset.profile import DatasetProfile
from app.dataset.suggestion import suggest
from app.errors import InvalidData, InvalidRequest

FINE_TUNE: Final = "fine-tune"
EXPIRES_ANCHOR: Final = "expires_after[anchor]"
EXPIRES_SECONDS: Final = "expires_after[seconds]"
"""As OpenAI's clients name the parts."""
LEAST_KEPT_SECONDS: Final = 3600
MOST_KEPT_SECONDS: Final = 30 * 24 * 3600
_LONGEST_TEXT: Final = 64
_LONGEST_NAME: Final = 255


@dataclass(frozen=True, kw_only=True)
class UploadPart:
    """A part of a multipart form. ``blocks`` come from the network and can be read once."""

    name: str
    filename: str | None
    blocks: Iterator[bytes]


@dataclass(frozen=True, kw_only=True)
class ReceivedFile:
    filename: str
    format: DataFormat
    stored_as: str
    """Name in the folder."""
    profile: DatasetProfile
    purpose: str = FINE_TUNE
    kept_seconds: int | None = None
    """After which it may be deleted; unset: it is kept."""


def receive(parts: Iterable[UploadPart], *, folder: Path, max_row_bytes: int) -> ReceivedFile:
    """Store the part ``file`` in ``folder`` and check its rows as they arrive; the other parts may come before or after it.

    Raises InvalidRequest for a form that is not as asked for, and InvalidData or TooLarge for the first bad row.
    """
    received: ReceivedFile | None = None
    purpose, kept_seconds = FINE_TUNE, None
    for part in parts:
        if part.name == "purpose":
            purpose = _purpose(part)
        elif part.name == EXPIRES_ANCHOR:
            _check_anchor(part)
        elif part.name == EXPIRES_SECONDS:
            kept_seconds = _kept_seconds(part)
        elif part.name != "file":
            raise InvalidRequest(
                f"The form has an unknown part {part.name!r}; known are file, purpose, {EXPIRES_ANCHOR} and {EXPIRES_SECONDS}.",
                param=part.name[:64],
                code="unknown_parameter",
            )
        elif received is not None:
            raise InvalidRequest("The form has two parts called file.", param="file", code="duplicate_part")
        else:
            received = _receive_file(part, folder=folder, max_row_bytes=max_row_bytes)
    if received is None:
        raise InvalidRequest("The form has no part called file.", param="file", code="missing_parameter")
    return replace(received, purpose=purpose, kept_seconds=kept_seconds)


def safe_filename(filename: str | None) -> str:
    """The last component of a client's file name, printable: it is shown and sent back, never used as a path."""
    last = PurePosixPath((filename or "").replace("\\", "/")).name
    printable = "".join(character for character in last if character.isprintable()).strip()
    return printable[-_LONGEST_NAME:] if printable.strip(".") else "data"


def _purpose(part: UploadPart) -> str:
    purpose = _short_text(part)
    if purpose != FINE_TUNE:
        raise InvalidRequest(
            f"The purpose must be {FINE_TUNE!r}, not {purpose[:_LONGEST_TEXT]!r}.",
            param="purpose",
            code="invalid_purpose",
        )
    return purpose


def _check_anchor(part: UploadPart) -> None:
    if _short_text(part) != "created_at":
        raise InvalidRequest(
            f"{EXPIRES_ANCHOR} must be 'created_at'.", param="expires_after.anchor", code="invalid_value"
        )


def _kept_seconds(part: UploadPart) -> int:
    text = _short_text(part)
    seconds = int(text) if text.isascii() and text.isdecimal() else 0
    if not LEAST_KEPT_SECONDS <= seconds <= MOST_KEPT_SECONDS:
        raise InvalidRequest(
            f"{EXPIRES_SECONDS} must be a whole number from {LEAST_KEPT_SECONDS} (an hour) to {MOST_KEPT_SECONDS} (30 days).",
            param="expires_after.seconds",
            code="invalid_value",
        )
    return seconds


def _short_text(part: UploadPart) -> str:
    content = b""
    for block in part.blocks:
        content += block
        if len(content) > _LONGEST_TEXT:
            break
    return content.decode(errors="replace").strip()


def _receive_file(part: UploadPart, *, folder: Path, max_row_bytes: int) -> ReceivedFile:
    from app.dataset.readers import profile_arriving  # noqa: PLC0415  pyarrow: 50 MB of a process that may take no uploads

    filename = safe_filename(part.filename)
    head, blocks = _peek(part.blocks)
    format_ = find_format(filename, head=head)
    path = folder / f"data.{format_}"
    with path.open("wb") as file:
        profile = profile_arriving(_stored(blocks, file=file), path=path, format=format_, max_row_bytes=max_row_bytes)
    profile = _with_inputs(profile, path=path, format=format_, max_row_bytes=max_row_bytes)
    return ReceivedFile(filename=filename, format=format_, stored_as=path.name, profile=profile)


def _with_inputs(profile: DatasetProfile, *, path: Path, format: DataFormat, max_row_bytes: int) -> DatasetProfile:  # noqa: A002 - the word of the API
    """Which rows ask the same is read once more from the disk, when it is known what the columns are."""
    from app.dataset.inputs import profile_inputs  # noqa: PLC0415  as above
    from app.dataset.readers import read_rows  # noqa: PLC0415

    try:
        resolved = suggest(profile)
    except InvalidData:
        return profile
    found = profile_inputs(lambda: read_rows(path, format=format, max_row_bytes=max_row_bytes), resolved)
    return profile.model_copy(update={"inputs": found})


def _peek(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, and all blocks from the first one on."""
    start = b""
    for block in blocks:
        start += block
        if len(start) >= HEAD_BYTES:
            break
    return start[:HEAD_BYTES], chain([start], blocks)


def _stored(blocks: Iterable[bytes], *, file: BinaryIO) -> Iterator[bytes]:
    """The same blocks, each written before it is passed on; all are in the file once the last was taken."""
    for block in blocks:
        file.write(block)
        yield block
    file.flush()
