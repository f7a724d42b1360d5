"""Which format a data file has: by its name and by its first bytes, which have to agree."""

from pathlib import PurePath
from typing import Final, Literal

from app.errors import InvalidData

DataFormat = Literal["jsonl", "csv", "parquet"]

HEAD_BYTES: Final = 512
"""So many first bytes decide (the mark of a tar archive stands at byte 257)."""

MEDIA_TYPES: Final[dict[str, str]] = {
    "jsonl": "application/jsonl",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}

_BY_EXTENSION: Final[dict[str, DataFormat]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}

_ARCHIVES: Final = (
    (b"PK\x03\x04", "a zip archive (or an Excel workbook)"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\x00", "compressed with xz"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a rar archive"),
)
_TAR_MARK: Final = slice(257, 262)
_PARQUET_MARK: Final = b"PAR1"


def find_format(filename: str, *, head: bytes) -> DataFormat:
    """The format of a file from its name and its first ``HEAD_BYTES`` bytes.

    Raises InvalidData for archives, for a name that contradicts the content, and when neither tells.
    """
    if not head:
        raise InvalidData("The file is empty.", param="file", code="empty_file")
    _refuse_archives(head)
    named = _BY_EXTENSION.get(PurePath(filename).suffix.lower())
    found = _sniff(head)
    if named is None and found is None:
        raise InvalidData(
            "The format of the file cannot be told from its name or its content.",
            param="file",
            code="unknown_format",
            hint="Name it .jsonl, .csv or .parquet.",
        )
    if named is not None and found not in (None, named):
        raise InvalidData(
            f"The file is named as {named} but begins like {found}.", param="file", code="format_mismatch"
        )
    if named == "parquet" and found is None:
        raise InvalidData("The file is named as parquet but is not a Parquet file.", param="file", code="not_parquet")
    format_ = named or found
    assert format_ is not None
    return format_


def _refuse_archives(head: bytes) -> None:
    kind = next((kind for mark, kind in _ARCHIVES if head.startswith(mark)), None)
    if head[_TAR_MARK] == b"ustar":
        kind = "a tar archive"
    if kind is not None:
        raise InvalidData(
            f"The file is {kind}, not JSON Lines, CSV or Parquet.",
            param="file",
            code="archive_not_supported",
            hint="Unpack it and upload the data file itself.",
        )


def _sniff(head: bytes) -> DataFormat | None:
    if head.startswith(_PARQUET_MARK):
        return "parquet"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return "jsonl"
    return None
