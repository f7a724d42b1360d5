"""What all readers share: rows, limits, lines out of chunks, and errors that name the row."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from app.errors import InvalidData, Problem, TooLarge

Row = dict[str, Any]

MAX_ROW_BYTES: Final = 2**31 - 1
"""What a reader takes when its caller sets no limit. Uploads are held to ``max_row_bytes`` of the settings, and what was
accepted under those is then read without asking again."""
MAX_COLUMNS: Final = 1000
MAX_NAME_CHARS: Final = 256
"""Longest column name; the same as in ``columns`` of a job."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_CHUNK_BYTES: Final = 2**18


class LineTooLongError(Exception):
    """A line is longer than a row may be. Readers turn it into an error that names the row."""


def refuse_row(row: int, problem: str, *, code: str, hint: str | None = None) -> InvalidData:
    """The error for one bad row; ``problem`` goes on after "row 4,711"."""
    message = f"Row {row:,} {problem}."
    return InvalidData(
        message,
        param="file",
        code=code,
        hint=hint,
        problems=(Problem(message=message, param="file", code=code, row=row),),
    )


def refuse_long_row(row: int, *, max_bytes: int, hint: str | None = None) -> TooLarge:
    message = f"Row {row:,} is longer than the {max_bytes:,} bytes a row may have."
    code = "row_too_long"
    return TooLarge(
        message,
        param="file",
        code=code,
        hint=hint,
        problems=(Problem(message=message, param="file", code=code, row=row),),
    )


def check_columns(names: Iterable[str]) -> None:
    """Raise InvalidData for column names that are empty, too long, given twice or too many."""
    seen: set[str] = set()
    for name in names:
        if not name.strip():
            raise InvalidData("A column has no name.", param="file", code="empty_column_name")
        if len(name) > MAX_NAME_CHARS or "\0" in name:
            raise InvalidData(
                f"The column name {name[:40]!r}… is too long or holds a NUL.", param="file", code="invalid_column_name"
            )
        if name in seen:
            raise InvalidData(f"There are two columns called {name!r}.", param="file", code="duplicate_column")
        seen.add(name)
        if len(seen) > MAX_COLUMNS:
            raise InvalidData(f"There are more than {MAX_COLUMNS:,} columns.", param="file", code="too_many_columns")


def chunks_of(path: Path) -> Iterator[bytes]:
    """The bytes of a file, a quarter of a MiB at a time."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def lines_of(chunks: Iterable[bytes], *, max_bytes: int) -> Iterator[bytes]:
    r"""Lines without their newline and without a byte-order mark, whatever the chunk boundaries.

    Only ``\n`` ends a line: ``str.splitlines`` would also split at U+0085 and U+2028, which occur inside real rows.
    Raises LineTooLongError as soon as more than ``max_bytes`` have come without a newline.
    """
    lines = _split(chunks, max_bytes=max_bytes)
    first = next(lines, None)
    if first is not None:
        yield first.removeprefix(_BYTE_ORDER_MARK)
    yield from lines


def _split(chunks: Iterable[bytes], *, max_bytes: int) -> Iterator[bytes]:
    pending = bytearray()
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            if len(pending) + len(piece) > max_bytes:
                raise LineTooLongError
            if pending:
                pending += piece
                yield bytes(pending)
                pending.clear()
            else:
                yield piece
        pending += rest
        if len(pending) > max_bytes:
            raise LineTooLongError
    if pending:
        yield bytes(pending)
