"""Rows to a ``DatasetProfile`` in one pass, with memory that does not grow with the data."""

import hashlib
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from app.dataset.profile import ColumnProfile, DatasetProfile, Kind, KindCount, NumberRange, UnevenLists, ValueCount
from app.dataset.source import Row, check_columns, refuse_row

MAX_DISTINCT: Final = 10_001
"""Distinct values remembered of a column; one more, and only their kinds are known."""
MAX_VALUE_CHARS: Final = 256
MAX_DISTINCT_CHARS: Final = 2**18
"""Characters of all distinct strings of a column: keeps the texts of a small file out of its profile."""
MAX_DISTINCT_TOTAL: Final = 100_000
"""Distinct values remembered of all columns together; beyond it the column with the most forgets its own."""
NUM_LENGTH_BUCKETS: Final = 14
MAX_FIELDS: Final = 16
"""Names remembered of the objects in lists."""
MAX_LISTS: Final = 8
"""Columns of lists whose lengths are compared with each other."""
MAX_HASHES: Final = 2**20
"""8 MiB. Up to so many rows, duplicates are counted exactly; beyond, from a sample by hash value."""

_FIRST_BUCKET_BITS: Final = 4
_KINDS: Final[dict[type, Kind]] = {
    str: "string",
    int: "integer",
    bool: "boolean",
    list: "list",
    tuple: "list",
    dict: "object",
    type(None): "null",
}


def profile_rows(rows: Iterable[Row], *, class_names: Mapping[str, list[str]] | None = None) -> DatasetProfile:
    """What is known of ``rows`` after one pass. ``class_names`` are those the source declares for integer columns.

    Raises InvalidData for a row that cannot be kept as JSON (NUL, broken Unicode, integers beyond 64 bits), for a bad
    column name and for too many columns; lets pass what reading ``rows`` raises.
    """
    columns: dict[str, _Column] = {}
    duplicates, uneven = _Duplicates(), _Uneven()
    num_rows = num_distinct = 0
    for num_rows, row in enumerate(rows, start=1):
        if not row.keys() <= columns.keys():
            check_columns([*columns, *(name for name in row if name not in columns)])
            columns |= {name: _Column(name, first_row=num_rows) for name in row if name not in columns}
        duplicates.add(row, number=num_rows)  # first, because it refuses numbers that are too large to be counted
        for name, value in row.items():
            num_distinct += columns[name].add(value, row=num_rows)
        uneven.add(row, number=num_rows)
        if num_distinct > MAX_DISTINCT_TOTAL:
            num_distinct -= max(columns.values(), key=_Column.num_distinct).forget()
        if len(row) < len(columns):
            for column in columns.values():
                if column.name not in row:
                    column.miss(row=num_rows)
    return DatasetProfile(
        num_rows=num_rows,
        columns=[column.profile() for column in columns.values()],
        class_names={name: list(names) for name, names in (class_names or {}).items() if name in columns},
        num_exact_duplicates=duplicates.count(),
        uneven_lists=list(uneven.found.values()),
    )


def length_bucket(num_chars: int) -> int:
    """Index in ``length_histogram``: [0,16), [16,32), [32,64), … the last one open."""
    return min(max(num_chars.bit_length() - _FIRST_BUCKET_BITS, 0), NUM_LENGTH_BUCKETS - 1)


class _Column:
    """One column while rows come in."""

    def __init__(self, name: str, *, first_row: int, looks_into_objects: bool = True) -> None:
        self.name = name
        self._looks_into_objects = looks_into_objects
        self._kinds: dict[Kind, list[int]] = {}
        self._values: dict[Any, list[int]] | None = {}
        """Count and first row by value; what is not a string by (type, value), since ``True == 1 == 1.0``."""
        self._value_chars = 0
        self._total_chars = self._max_chars = 0
        self._num_empty = 0
        self._first_empty_row: int | None = None
        self._histogram = [0] * NUM_LENGTH_BUCKETS
        self._range: list[float] | None = None
        """Smallest, largest and sum of the finite numbers."""
        self._items: _Column | None = None
        self._num_empty_lists = 0
        self._fields: dict[str, _Column] = {}
        if first_row > 1:
            self._kinds["null"] = [first_row - 1, 1]

    def num_distinct(self) -> int:
        return len(self._values or ()) + sum(column.num_distinct() for column in self._inner())

    def forget(self) -> int:
        """Stop remembering values; returns how many were."""
        num_forgotten = self.num_distinct()
        self._values = None
        for column in self._inner():
            column.forget()
        return num_forgotten

    def _inner(self) -> "list[_Column]":
        return [*([] if self._items is None else [self._items]), *self._fields.values()]

    def miss(self, *, row: int) -> None:
        self._count("null", row=row)

    def add(self, value: Any, *, row: int) -> int:
        """Take in a value; returns by how much the number of remembered values changed."""
        kind = _kind(value)
        self._count(kind, row=row)
        if kind == "string":
            self._measure(value, row=row)
            if len(value) > MAX_VALUE_CHARS:
                return -self.forget()
            return self._remember(value, num_chars=len(value), row=row)
        if kind in {"integer", "number"}:
            self._widen(float(value))
        if kind in {"integer", "number", "boolean"}:
            return self._remember((type(value), value), num_chars=0, row=row)
        if kind == "object":
            return self._add_members(value, row=row) if isinstance(value, dict) else 0
        return self._add_items(value, row=row) if kind == "list" else 0

    def _add_members(self, members: Mapping[Any, Any], *, row: int) -> int:
        """Look into an object, and into lists in it as into a column of lists."""
        known = self.num_distinct()
        if self._looks_into_objects:
            self.add_fields(members, row=row, with_lists=True)
        return self.num_distinct() - known

    def _add_items(self, items: Sequence[Any], *, row: int) -> int:
        """Look into a list, not into lists in it, and only while its column may still be one of labels."""
        if not items:
            self._num_empty_lists += 1
            return 0
        if self._items is None:
            self._items = _Column(self.name, first_row=1, looks_into_objects=False)
        known = self._items.num_distinct()
        for item in items:
            if self._items._values is None:  # noqa: SLF001 - of its own class
                break
            self._items.add(() if isinstance(item, list | tuple) else item, row=row)
            if isinstance(item, dict):
                self._items.add_fields(item, row=row)
        return self._items.num_distinct() - known

    def add_fields(self, item: Mapping[Any, Any], *, row: int, with_lists: bool = False) -> None:
        """Look into an object, not into objects in it; into lists ``with_lists``."""
        num_before = self._kinds["object"][0] - 1
        for name, value in item.items():
            if name not in self._fields and len(self._fields) < MAX_FIELDS:
                self._fields[name] = _Column(str(name), first_row=1, looks_into_objects=False)
                if num_before:
                    self._fields[name]._kinds["null"] = [num_before, 1]  # noqa: SLF001 - of its own class
            if name in self._fields:
                is_hidden = isinstance(value, list | tuple | dict) and not with_lists
                self._fields[name].add(() if is_hidden else value, row=row)
        for name, column in self._fields.items():
            if name not in item:
                column.miss(row=row)

    def _widen(self, number: float) -> None:
        if self._range is None:
            self._range = [number, number, number]
            return
        lowest, highest, total = self._range
        self._range = [min(lowest, number), max(highest, number), total + number]

    def _count(self, kind: Kind, *, row: int) -> None:
        counted = self._kinds.get(kind)
        if counted is None:
            self._kinds[kind] = [1, row]
        else:
            counted[0] += 1

    def _measure(self, text: str, *, row: int) -> None:
        if "\0" in text:
            raise refuse_row(row, f"has a NUL character in {self.name!r}", code="nul_byte")
        num_chars = len(text)
        self._total_chars += num_chars
        self._max_chars = max(self._max_chars, num_chars)
        self._histogram[length_bucket(num_chars)] += 1
        if not text or text.isspace():
            self._num_empty += 1
            self._first_empty_row = self._first_empty_row or row

    def _remember(self, key: Any, *, num_chars: int, row: int) -> int:
        if self._values is None:
            return 0
        seen = self._values.get(key)
        if seen is not None:
            seen[0] += 1
            return 0
        self._value_chars += num_chars
        if len(self._values) >= MAX_DISTINCT or self._value_chars > MAX_DISTINCT_CHARS:
            return -self.forget()
        self._values[key] = [1, row]
        return 1

    def profile(self) -> ColumnProfile:
        num_strings = self._kinds.get("string", [0])[0]
        values = None
        if self._values is not None:
            values = [
                ValueCount(value=key if isinstance(key, str) else key[1], count=count, first_row=first_row)
                for key, (count, first_row) in self._values.items()
            ]
        return ColumnProfile(
            name=self.name,
            kinds={
                kind: KindCount(count=count, first_row=first_row) for kind, (count, first_row) in self._kinds.items()
            },
            values=values,
            max_chars=self._max_chars,
            mean_chars=self._total_chars / num_strings if num_strings else 0.0,
            num_empty=self._num_empty,
            first_empty_row=self._first_empty_row,
            length_histogram=self._histogram if num_strings else [],
            numbers=self._number_range(),
            items=None if self._items is None else self._items.profile(),
            num_empty_lists=self._num_empty_lists,
            fields=[column.profile() for column in self._fields.values()],
        )

    def _number_range(self) -> NumberRange | None:
        if self._range is None:
            return None
        lowest, highest, total = self._range
        count = sum(self._kinds[kind][0] for kind in ("integer", "number") if kind in self._kinds)
        return NumberRange(min=lowest, max=highest, mean=min(max(total / count, lowest), highest))


def _kind(value: Any) -> Kind:
    if isinstance(value, float):
        return "number" if math.isfinite(value) else "nan"
    return _KINDS.get(type(value), "object")


class _Uneven:
    """Finds the first row in which two columns have lists of different lengths."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], UnevenLists] = {}

    def add(self, row: Row, *, number: int) -> None:
        lengths = [(name, len(value)) for name, value in row.items() if isinstance(value, list | tuple)][:MAX_LISTS]
        for (one, length), (other, other_length) in combinations(sorted(lengths), 2):
            if length != other_length and (one, other) not in self.found:
                self.found[one, other] = UnevenLists(columns=(one, other), row=number, lengths=(length, other_length))


class _Duplicates:
    """Counts rows seen before, by 8-byte hashes. When there are too many, every second hash value is left out."""

    def __init__(self) -> None:
        self._hashes = array("Q")
        self._level = 0

    def add(self, row: Row, *, number: int) -> None:
        try:
            content = orjson.dumps(row, default=repr, option=orjson.OPT_SORT_KEYS)
        except TypeError as error:
            raise refuse_row(number, f"cannot be stored: {error}", code="invalid_value") from None
        value = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
        if value & ((1 << self._level) - 1):
            return
        self._hashes.append(value)
        if len(self._hashes) > MAX_HASHES:
            self._level += 1
            mask = (1 << self._level) - 1
            self._hashes = array("Q", (kept for kept in self._hashes if not kept & mask))

    def count(self) -> int:
        if len(self._hashes) == 0:
            return 0
        hashes = pa.Array.from_buffers(pa.uint64(), len(self._hashes), [None, pa.py_buffer(self._hashes)])
        ordered = hashes.sort()  # a hash table of them would take 15 times the memory
        num_seen_before: int = pc.sum(pc.equal(ordered[1:], ordered[:-1]), min_count=0).as_py()
        return num_seen_before << self._level
