"""CSV with a header, UTF-8, separated by commas (or by tabs or semicolons, if the header has no comma).

A CSV file has no types, so they are found from the whole file before rows are read: a column whose every cell is an
integer (or a number) literal is one of integers (or numbers), every other one is text. An empty cell is null. The same
bytes always give the same types, at upload and in the trainer.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

from app.dataset.source import (
    MAX_ROW_BYTES,
    LineTooLongError,
    Row,
    check_columns,
    lines_of,
    refuse_long_row,
    refuse_row,
)
from app.errors import InvalidData, TooLarge

CellType = Literal["text", "integer", "number"]

_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")
"""No leading zeros: 007 is a name. 18 digits always fit 64 bits."""
_NUMBER: Final = re.compile(r"-?[0-9]+\.[0-9]+(?:[eE][-+]?[0-9]{1,3})?")
_NOT_A_NUMBER: Final = frozenset({"nan", "na", "n/a", "#n/a", "null", "none", "inf", "-inf"})
"""In a column of numbers these, in any case, are read as not-a-number; in a column of text they are text."""


def find_cell_types(chunks: Iterable[bytes], *, max_row_bytes: int = MAX_ROW_BYTES) -> dict[str, CellType]:
    """The type of each column, after reading (and checking) every row. Raises as ``read_csv`` does."""
    table = _Table(chunks, max_row_bytes=max_row_bytes)
    has_integers, has_numbers = set[int](), set[int]()
    undecided = set(range(len(table.header)))
    for cells in table:
        for index in tuple(undecided):
            cell = cells[index]
            if not cell or cell.lower() in _NOT_A_NUMBER:
                continue
            if _INTEGER.fullmatch(cell):
                has_integers.add(index)
            elif _NUMBER.fullmatch(cell):
                has_numbers.add(index)
            else:
                undecided.discard(index)
    types: dict[str, CellType] = dict.fromkeys(table.header, "text")
    for index in undecided:
        if index in has_numbers:
            types[table.header[index]] = "number"
        elif index in has_integers:
            types[table.header[index]] = "integer"
    return types


def read_csv(
    chunks: Iterable[bytes], *, types: Mapping[str, CellType], max_row_bytes: int = MAX_ROW_BYTES
) -> Iterator[Row]:
    """Rows in order, with ``types`` from ``find_cell_types`` of the same bytes; blank lines are skipped.

    Raises InvalidData for a bad header and for the first row that is not UTF-8, has a NUL, broken quotes or another
    number of cells than the header, and TooLarge for one longer than ``max_row_bytes``.
    """
    table = _Table(chunks, max_row_bytes=max_row_bytes)
    columns = [(name, types[name]) for name in table.header]
    for cells in table:
        yield {name: _value(cell, type_) for (name, type_), cell in zip(columns, cells, strict=True)}


def _value(cell: str, type_: CellType) -> Any:
    if not cell:
        return None
    if type_ == "text":
        return cell
    if cell.lower() in _NOT_A_NUMBER:
        return float("nan")
    return int(cell) if type_ == "integer" else float(cell)


class _LineError(Exception):
    """A line cannot be read; becomes an error that names the row."""

    def __init__(self, problem: str, *, code: str) -> None:
        super().__init__(problem)
        self.problem, self.code = problem, code


class _Table:
    """The header, and on iteration the cells of each row, as many as the header has."""

    def __init__(self, chunks: Iterable[bytes], *, max_row_bytes: int) -> None:
        csv.field_size_limit(max(csv.field_size_limit(), max_row_bytes))  # its own limit is 128 KiB, per process
        self._max_row_bytes = max_row_bytes
        self._row_bytes = 0
        self._row = 0
        self._lines = self._decoded(lines_of(chunks, max_bytes=max_row_bytes))
        self.header = self._read_header()

    def _read_header(self) -> list[str]:
        try:
            first = next((line for line in self._lines if not line.isspace()), None)
            if first is None:
                raise InvalidData("The file has no header and no rows.", param="file", code="no_rows")
            delimiter = next((mark for mark in ",\t;" if mark in first), ",")
            self._reader = csv.reader(self._again(first), delimiter=delimiter, strict=True)
            header = next(self._reader, [])
        except _LineError as error:
            raise InvalidData(f"The header {error.problem}.", param="file", code=error.code) from None
        except csv.Error as error:
            raise InvalidData(f"The header is not valid CSV: {error}.", param="file", code="invalid_csv") from None
        except LineTooLongError:
            message = f"The header is longer than the {self._max_row_bytes:,} bytes a row may have."
            raise TooLarge(message, param="file", code="row_too_long") from None
        check_columns(header)
        return header

    def __iter__(self) -> Iterator[list[str]]:
        width = len(self.header)
        while True:
            self._row_bytes = 0
            try:
                cells = next(self._reader, None)
            except _LineError as error:
                raise refuse_row(self._row + 1, error.problem, code=error.code) from None
            except csv.Error as error:
                raise refuse_row(
                    self._row + 1, f"is not valid CSV: {error} (line {self._reader.line_num:,})", code="invalid_csv"
                ) from None
            except LineTooLongError:
                hint = "Is a quotation mark never closed?"
                raise refuse_long_row(self._row + 1, max_bytes=self._max_row_bytes, hint=hint) from None
            if cells is None:
                return
            if not cells:
                continue
            self._row += 1
            if len(cells) != width:
                raise refuse_row(
                    self._row,
                    f"has {len(cells)} cells, the header has {width} (line {self._reader.line_num:,})",
                    code="wrong_cell_count",
                    hint="Put texts that contain the separator in double quotes.",
                )
            yield cells

    def _again(self, first: str) -> Iterator[str]:
        yield first
        yield from self._lines

    def _decoded(self, lines: Iterator[bytes]) -> Iterator[str]:
        for line in lines:
            self._row_bytes += len(line) + 1
            if self._row_bytes > self._max_row_bytes:  # many short lines inside one pair of quotes
                raise LineTooLongError
            if b"\0" in line:
                raise _LineError("holds a NUL byte", code="nul_byte")
            try:
                yield line.decode() + "\n"
            except UnicodeDecodeError:
                raise _LineError("is not UTF-8", code="not_utf8") from None
