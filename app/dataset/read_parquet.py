"""Parquet, a few rows at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from app.dataset.parquet_pages import check_pages
from app.dataset.source import MAX_ROW_BYTES, Row, check_columns, refuse_long_row
from app.errors import InvalidData

_BATCH_ROWS: Final = 16
"""Small, because a dictionary-encoded column may unfold one long text into every row of the batch."""
_LISTS: Final = ("List", "LargeList", "Sequence")
"""What releases of ``datasets`` call a list of something."""


def read_parquet(path: Path, *, max_row_bytes: int = MAX_ROW_BYTES) -> Iterator[Row]:
    """Rows in order; nested columns are lists and dicts, instants their ISO text, decimals floats.

    Raises InvalidData when it is no readable Parquet file or has two columns of one name, and TooLarge for a row
    longer than ``max_row_bytes``.
    """
    row = 0
    with _opened(path) as file:
        check_columns(file.schema_arrow.names)
        with _broken_file():
            check_pages(path, file.metadata)
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
                columns = {
                    name: _plain(column).to_pylist() for name, column in zip(batch.schema.names, batch, strict=True)
                }
                for values in zip(*columns.values(), strict=True):
                    row += 1
                    if sum(_size(value) for value in values) > max_row_bytes:
                        raise refuse_long_row(row, max_bytes=max_row_bytes)
                    yield dict(zip(columns, values, strict=True))


def parquet_class_names(path: Path) -> dict[str, list[str]]:
    """Names of classes by column (of single ones, or of lists), where the ``datasets`` library wrote them into the file."""
    with _opened(path) as file:
        metadata = (file.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = orjson.loads(metadata)["info"]["features"]
        declared = {
            str(name): [str(label) for label in inner["names"]]
            for name, feature in features.items()
            if (inner := _item(feature)).get("_type") == "ClassLabel" and inner.get("names")
        }
        return {name: names for name, names in declared.items() if "\0" not in "".join(names)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _item(feature: Any) -> dict[str, Any]:
    """The feature itself, or that of a list's items; empty if it is neither."""
    if isinstance(feature, dict) and feature.get("_type") in _LISTS:
        feature = feature.get("feature")
    return feature if isinstance(feature, dict) else {}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with _broken_file():
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20)
    with file:
        yield file


@contextmanager
def _broken_file() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InvalidData(
            f"The file is not readable as Parquet: {reason}.", param="file", code="not_parquet"
        ) from error


def _plain(column: Any) -> Any:
    """``column`` with what Python has no exact type for made text or float."""
    if pa.types.is_temporal(column.type):
        return column.cast(pa.string())
    if pa.types.is_decimal(column.type):
        return column.cast(pa.float64())
    return column


def _size(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return 8
