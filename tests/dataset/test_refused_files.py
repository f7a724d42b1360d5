"""Rows of the fault matrix (I1) that are about a file alone: refused with a code and the row."""

import zipfile
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.dataset.formats import find_format
from app.dataset.readers import profile_arriving, profile_file
from app.errors import InvalidData, ServiceError, TooLarge
from tests.dataset.conftest import jsonl, pieces

GOOD = {"text": "fine", "label": 1}


def refused(data: bytes, *, kind: str, tmp_path: Path, max_row_bytes: int = 4 * 2**20) -> ServiceError:
    path = tmp_path / f"data.{kind}"
    path.write_bytes(data)
    with pytest.raises(ServiceError) as whole:
        profile_file(path, format=kind, max_row_bytes=max_row_bytes)
    with pytest.raises(ServiceError) as cut:
        profile_arriving(pieces(data, size=7), path=path, format=kind, max_row_bytes=max_row_bytes)
    assert (cut.value.message, cut.value.code) == (whole.value.message, whole.value.code)
    assert whole.value.param == "file"
    return whole.value


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b'{"text": "broken', "invalid_json"),
        (b'{"text": "caf\xe9", "label": 1}', "not_utf8"),
        (b'{"text": "nul \x00", "label": 1}', "nul_byte"),
        (b'{"text": "escaped \\u0000", "label": 1}', "nul_byte"),
        (b'["text", 1]', "row_not_an_object"),
        (b'{"text": "a", "label": 1, "text": "b"}', "duplicate_column"),
        (b'{"text": "lonely \\ud800 NaN", "label": 1}', "invalid_value"),
        (b'{"text": "a", "label": ' + b"[" * 2000 + b"]" * 2000 + b"}", "invalid_json"),
        (b'{"text": "a", "label": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}", "invalid_value"),
        (b'{"": 1}', "empty_column_name"),
    ],
)
def test_a_bad_row_of_jsonl_is_named(bad, code, tmp_path):
    error = refused(jsonl([GOOD] * 4710) + bad + b"\n" + jsonl([GOOD]), kind="jsonl", tmp_path=tmp_path)
    assert error.code == code
    if code != "empty_column_name":
        assert "Row 4,711" in error.message
        assert [problem.row for problem in error.problems] == [4711]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"only one cell\n", "wrong_cell_count"),
        (b"a,1,2\n", "wrong_cell_count"),
        (b'"a"b,1\n', "invalid_csv"),
        (b"caf\xe9,1\n", "not_utf8"),
        (b"nul \x00,1\n", "nul_byte"),
        (b'"never closed,1\n', "invalid_csv"),
    ],
)
def test_a_bad_row_of_csv_is_named(bad, code, tmp_path):
    error = refused(b"text,label\n" + b"fine,1\n" * 4710 + bad, kind="csv", tmp_path=tmp_path)
    assert error.code == code
    assert [problem.row for problem in error.problems] == [4711]


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (b"\n \n", "jsonl", "no_rows"),
        (b"text,label\n", "csv", "no_rows"),
        (b"\n\n", "csv", "no_rows"),
        (b"text,label,text\na,1,b\n", "csv", "duplicate_column"),
        (b"text,,label\na,1,b\n", "csv", "empty_column_name"),
        (b"not parquet at all", "parquet", "not_parquet"),
        (b"PAR1 but broken PAR1", "parquet", "not_parquet"),
        (b"[\n", "jsonl", "invalid_json"),
    ],
)
def test_a_file_that_is_no_table_is_refused(data, kind, code, tmp_path):
    assert refused(data, kind=kind, tmp_path=tmp_path).code == code


def test_a_header_of_too_many_columns_is_refused(tmp_path):
    header = ",".join(f"c{i}" for i in range(1001)).encode()
    assert refused(header + b"\n", kind="csv", tmp_path=tmp_path).code == "too_many_columns"
    rows = jsonl({f"c{i}": 1} for i in range(1001))
    assert refused(rows, kind="jsonl", tmp_path=tmp_path).code == "too_many_columns"


def test_parquet_with_two_columns_of_one_name_or_no_rows_is_refused(tmp_path):
    for table, code in [
        (pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), "duplicate_column"),
        (pa.table({"text": pa.array([], pa.string())}), "no_rows"),
    ]:
        out = BytesIO()
        pq.write_table(table, out)
        assert refused(out.getvalue(), kind="parquet", tmp_path=tmp_path).code == code


def test_parquet_cut_short_or_damaged_is_refused(tmp_path):
    out = BytesIO()
    pq.write_table(pa.table({"text": [f"text {i}" for i in range(1000)]}), out, compression="zstd")
    whole = out.getvalue()
    assert refused(whole[: len(whole) // 2], kind="parquet", tmp_path=tmp_path).code == "not_parquet"
    damaged = whole[:40] + bytes(200) + whole[240:]
    assert refused(damaged, kind="parquet", tmp_path=tmp_path).code == "not_parquet"


@pytest.mark.parametrize(("before", "row"), [(jsonl([GOOD] * 2), 3), (b"", 1)], ids=["third row", "first row"])
def test_a_row_that_is_too_long_is_refused_as_soon_as_it_is(before, row):
    consumed = 0

    def endless():
        nonlocal consumed
        yield before
        while True:
            consumed += 1000
            yield b"x" * 1000

    with pytest.raises(TooLarge) as caught:
        profile_arriving(endless(), path=Path("unused"), format="jsonl", max_row_bytes=10_000)
    assert caught.value.code == "row_too_long"
    assert caught.value.problems[0].row == row
    assert consumed <= 11_000


def test_a_quote_that_is_never_closed_ends_at_the_longest_row(tmp_path):
    data = b'text,label\nfine,1\n"open\n' + b"line\n" * 10_000
    error = refused(data, kind="csv", tmp_path=tmp_path, max_row_bytes=1000)
    assert (error.code, error.problems[0].row) == ("row_too_long", 2)


def test_a_long_row_of_parquet_is_refused(tmp_path):
    out = BytesIO()
    pq.write_table(pa.table({"text": ["short", "x" * 5000]}), out)
    error = refused(out.getvalue(), kind="parquet", tmp_path=tmp_path, max_row_bytes=1000)
    assert (error.code, error.problems[0].row) == ("row_too_long", 2)


def zipped() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("train.jsonl", jsonl([GOOD]))
    return out.getvalue()


@pytest.mark.parametrize(
    "head",
    [zipped(), b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd...", b"BZh9", b"x" * 257 + b"ustar\x00"],
    ids=["zip", "gzip", "zstd", "bzip2", "tar"],
)
@pytest.mark.parametrize("name", ["train.jsonl", "train.csv", "train", "train.jsonl.gz"])
def test_archives_are_refused_whatever_their_name(name, head):
    with pytest.raises(InvalidData) as caught:
        find_format(name, head=head)
    assert caught.value.code == "archive_not_supported"


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.jsonl", b'{"text"', "jsonl"),
        ("a.JSON", b"\xef\xbb\xbf {", "jsonl"),
        ("a.csv", b"text,label", "csv"),
        ("a.tsv", b"text\tlabel", "csv"),
        ("a.parquet", b"PAR1\x15", "parquet"),
        ("data", b"PAR1\x15", "parquet"),
        ("data.txt", b'{"text"', "jsonl"),
    ],
)
def test_the_format_is_found_from_name_and_content(name, head, expected):
    assert find_format(name, head=head) == expected


@pytest.mark.parametrize(
    ("name", "head", "code"),
    [
        ("a.csv", b"PAR1\x15", "format_mismatch"),
        ("a.csv", b'{"text": 1}', "format_mismatch"),
        ("a.parquet", b'{"text": 1}', "format_mismatch"),
        ("a.parquet", b"text,label", "not_parquet"),
        ("a.txt", b"text,label", "unknown_format"),
        ("a.jsonl", b"", "empty_file"),
    ],
)
def test_a_name_that_contradicts_the_content_is_refused(name, head, code):
    with pytest.raises(InvalidData) as caught:
        find_format(name, head=head)
    assert caught.value.code == code
