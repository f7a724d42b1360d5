"""JSON Lines: one object a line, UTF-8."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

from app.dataset.source import MAX_ROW_BYTES, LineTooLongError, Row, lines_of, refuse_long_row, refuse_row
from app.errors import InvalidData

_KEY_END: Final = re.compile(rb'"\s*:')
_ONE_OBJECT_A_LINE: Final = "JSON Lines has one whole object on each line."


def read_jsonl(chunks: Iterable[bytes], *, max_row_bytes: int = MAX_ROW_BYTES) -> Iterator[Row]:
    """Rows in order; blank lines are skipped and not counted.

    Raises InvalidData for the first row that is not UTF-8, not JSON, not an object, names a column twice or holds a
    NUL, and TooLarge for one longer than ``max_row_bytes``.
    """
    row = 0
    try:
        for line in lines_of(chunks, max_bytes=max_row_bytes):
            if line and not line.isspace():
                row += 1
                yield _parse(line, row=row)
    except LineTooLongError:
        raise refuse_long_row(row + 1, max_bytes=max_row_bytes, hint=_ONE_OBJECT_A_LINE) from None


def _parse(line: bytes, *, row: int) -> Row:
    if b"\0" in line:
        raise refuse_row(row, "holds a NUL byte", code="nul_byte")
    try:
        parsed = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        parsed = _parse_not_a_number(line, row=row, error=error)
    if not isinstance(parsed, dict):
        raise refuse_row(row, "is not a JSON object", code="row_not_an_object", hint=_ONE_OBJECT_A_LINE)
    if len(_KEY_END.findall(line)) > len(parsed):  # nested objects, a text with '":' in it, or a name given twice
        _check_names(line, row=row)
    return parsed


def _parse_not_a_number(line: bytes, *, row: int, error: orjson.JSONDecodeError) -> Any:
    """Python writes NaN and Infinity, which JSON has not: let them through, so that the column can be named later."""
    try:
        text = line.decode()
    except UnicodeDecodeError as decoding:
        raise refuse_row(
            row,
            f"is not UTF-8 (byte {decoding.start + 1:,} of the row)",
            code="not_utf8",
            hint="Save the file as UTF-8.",
        ) from None
    if "NaN" in text or "Infinity" in text:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
    raise _invalid_json(text, row=row, error=error) from None


def _invalid_json(text: str, *, row: int, error: orjson.JSONDecodeError) -> InvalidData:
    problem = f"is not valid JSON: {error.msg} (character {error.pos + 1:,} of the row)"
    begins_a_document = row == 1 and text.strip() in {"[", "{"}
    return refuse_row(row, problem, code="invalid_json", hint=_ONE_OBJECT_A_LINE if begins_a_document else None)


def _check_names(line: bytes, *, row: int) -> None:
    def pairs(items: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in items]
        twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
        if twice is not None:
            raise refuse_row(row, f"has {twice!r} twice", code="duplicate_column")

    try:
        json.loads(line, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        raise refuse_row(row, "is nested too deeply or holds too long a number", code="invalid_json") from None
