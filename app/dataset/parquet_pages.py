"""How large the pages of a Parquet file become when they are unpacked, told by their headers before any is unpacked.

A page is unpacked whole, so a file of kilobytes can ask for gigabytes. The footer could lie about it; what counts is what stands before
each page (``PageHeader`` of Parquet's format, in Thrift's compact protocol).
"""

from pathlib import Path
from typing import Any, BinaryIO, Final

from app.errors import InvalidData

MAX_PAGE_BYTES: Final = 256 * 2**20
"""Writers aim at one megabyte, and some look only every thousand rows."""
MAX_LISTED_VALUES: Final = 2**24
"""In a page of lists, where nothing but its size bounds how long one row is."""
_MOST_PAGES: Final = 1_000_000
_HEADER_BYTES: Final = (2**12, 2**20)
"""Read at first, and at most: statistics may be long."""

_UNCOMPRESSED, _COMPRESSED, _NUM_VALUES = 2, 3, 1
_PAGE_KINDS: Final = (5, 7, 8)
"""Fields with what is special to data pages, dictionaries, and data pages of version 2; each begins with its number of values."""


def check_pages(path: Path, metadata: Any) -> None:
    """Raises InvalidData for a page that is larger than one may be, and ValueError or EOFError where there is no header to read."""
    num_pages = 0
    with path.open("rb") as file:
        for group in range(metadata.num_row_groups):
            for number in range(metadata.num_columns):
                column = metadata.row_group(group).column(number)
                is_list = metadata.schema.column(number).max_repetition_level > 0
                num_pages += _check_column(file, column, is_list=is_list)
                if num_pages > _MOST_PAGES:
                    raise _too_large(f"more than {_MOST_PAGES} pages")


def _check_column(file: BinaryIO, column: Any, *, is_list: bool) -> int:
    """The number of its pages."""
    dictionary = column.dictionary_page_offset if column.has_dictionary_page else None
    offsets = [offset for offset in (column.data_page_offset, dictionary) if offset]  # 0: it has none of that kind
    start = min(offsets, default=0)
    end = start + column.total_compressed_size
    num_pages = 0
    while start < end and num_pages <= _MOST_PAGES:
        header, length = _header(file, start)
        size, packed = header.get(_UNCOMPRESSED, -1), header.get(_COMPRESSED, -1)
        values = max((header[kind].get(_NUM_VALUES, 0) for kind in _PAGE_KINDS if kind in header), default=0)
        if size < 0 or packed < 0:
            raise ValueError("a page has no size")
        if size > MAX_PAGE_BYTES:
            raise _too_large(f"a page that unpacks to {size} bytes; {MAX_PAGE_BYTES} is the limit")
        if is_list and values > MAX_LISTED_VALUES:
            raise _too_large(f"a page of {values} values in lists; {MAX_LISTED_VALUES} is the limit")
        start += length + packed
        num_pages += 1
    return num_pages


def _too_large(what: str) -> InvalidData:
    return InvalidData(
        f"The Parquet file has {what}.",
        param="file",
        code="parquet_too_dense",
        hint="Write it anew with smaller pages (data_page_size, write_batch_size), or as JSON Lines.",
    )


def _header(file: BinaryIO, offset: int) -> tuple[dict[int, Any], int]:
    """The fields of the header there, and its length."""
    for size in _HEADER_BYTES:
        file.seek(offset)
        reader = _Compact(file.read(size))
        try:
            return reader.struct(), reader.position
        except IndexError:
            continue
    raise ValueError("a page's header has no end")


class _Compact:
    """Enough of Thrift's compact protocol to read whole numbers, and what lies around them. Raises IndexError at the end of the bytes."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.position = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > 8:
            raise ValueError("a page's header is nested too deep")
        fields: dict[int, Any] = {}
        number = 0
        while (byte := self._byte()) != 0:
            number = number + (byte >> 4) if byte >> 4 else self._signed()
            fields[number] = self._value(byte & 0xF, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        match kind:
            case 1 | 2:  # a boolean is in its type
                return kind == 1
            case 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._signed()
            case 7:
                return self._skip(8)
            case 8:
                return self._skip(self._unsigned())
            case 12:
                return self.struct(depth + 1)
        raise ValueError("a page's header has a field of no known type")

    def _byte(self) -> int:
        value = self._content[self.position]
        self.position += 1
        return value

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a page's header has a number without end")

    def _signed(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, size: int) -> None:
        if self.position + size > len(self._content):
            raise IndexError
        self.position += size
