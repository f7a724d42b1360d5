"""One way to read the rows of a data file, for the upload that checks it and for the trainer that learns from it."""

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from app.dataset.formats import DataFormat
from app.dataset.profile import DatasetProfile
from app.dataset.profiler import profile_rows
from app.dataset.read_csv import find_cell_types, read_csv
from app.dataset.read_jsonl import read_jsonl
from app.dataset.read_parquet import parquet_class_names, read_parquet
from app.dataset.source import MAX_ROW_BYTES, Row, chunks_of
from app.errors import InvalidData


def read_rows(path: Path, *, format: DataFormat, max_row_bytes: int = MAX_ROW_BYTES) -> Iterator[Row]:  # noqa: A002 - the word of the API
    """The rows of a file on this machine, in order, with flat memory. A CSV file is read twice: once for its types.

    Raises InvalidData or TooLarge for the first row that is not fit, naming it.
    """
    if format == "jsonl":
        return read_jsonl(chunks_of(path), max_row_bytes=max_row_bytes)
    if format == "csv":
        types = find_cell_types(chunks_of(path), max_row_bytes=max_row_bytes)
        return read_csv(chunks_of(path), types=types, max_row_bytes=max_row_bytes)
    return read_parquet(path, max_row_bytes=max_row_bytes)


def profile_file(path: Path, *, format: DataFormat, max_row_bytes: int = MAX_ROW_BYTES) -> DatasetProfile:  # noqa: A002
    """The profile of a file on this machine. Raises as ``read_rows`` does."""
    class_names = parquet_class_names(path) if format == "parquet" else None
    return _with_rows(
        profile_rows(read_rows(path, format=format, max_row_bytes=max_row_bytes), class_names=class_names)
    )


def profile_arriving(
    chunks: Iterable[bytes],
    *,
    path: Path,
    format: DataFormat,  # noqa: A002
    max_row_bytes: int = MAX_ROW_BYTES,
) -> DatasetProfile:
    """The profile of a file that is still arriving: ``chunks`` yields its bytes once they are also in ``path``.

    Text is refused at its first bad row, before the rest has come. What cannot be known before the end (the types of
    CSV columns, anything of a Parquet file) is read from ``path`` afterwards. Raises as ``read_rows`` does.
    """
    if format == "jsonl":
        return _with_rows(profile_rows(read_jsonl(chunks, max_row_bytes=max_row_bytes)))
    if format == "csv":
        types = find_cell_types(chunks, max_row_bytes=max_row_bytes)
        return _with_rows(profile_rows(read_csv(chunks_of(path), types=types, max_row_bytes=max_row_bytes)))
    deque(chunks, maxlen=0)
    return profile_file(path, format=format, max_row_bytes=max_row_bytes)


def _with_rows(profile: DatasetProfile) -> DatasetProfile:
    if profile.num_rows == 0:
        raise InvalidData("The file has no rows.", param="file", code="no_rows")
    return profile
