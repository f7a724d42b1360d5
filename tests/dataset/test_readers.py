"""Whatever is written as JSONL, CSV or Parquet is read back, however its bytes are cut."""

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.dataset.read_csv import find_cell_types, read_csv
from app.dataset.read_jsonl import read_jsonl
from app.dataset.read_parquet import parquet_class_names
from app.dataset.readers import profile_arriving, profile_file, read_rows
from app.dataset.source import chunks_of
from tests.dataset.conftest import jsonl, pieces

NAME = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8).filter(
    lambda name: bool(name.strip()) and not set(name) & set('\t;\ufeff"')
)
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=30)
JSON_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
JSON_ROWS = st.lists(st.dictionaries(NAME, JSON_VALUE, min_size=1, max_size=4), max_size=8)


@given(rows=JSON_ROWS, size=st.integers(1, 50), ascii_only=st.booleans(), newline=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=150, deadline=None)
def test_jsonl_rows_come_back_whatever_the_chunks(rows, size, ascii_only, newline):
    data = newline.join(json.dumps(row, ensure_ascii=ascii_only) for row in rows).encode()
    assert list(read_jsonl(pieces(data, size=size))) == rows


CELL = TEXT.map(lambda text: text.replace("\r", " "))
TABLE = st.lists(NAME, min_size=2, max_size=4, unique=True).flatmap(
    lambda names: st.tuples(
        st.just(names), st.lists(st.lists(CELL, min_size=len(names), max_size=len(names)), max_size=8)
    )
)


@given(table=TABLE, size=st.integers(1, 50), delimiter=st.sampled_from(",\t;"), newline=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=150, deadline=None)
def test_csv_cells_come_back_whatever_the_chunks(table, size, delimiter, newline):
    names, rows = table
    names = [name.replace(",", "_") for name in names]
    if len(set(names)) < len(names):
        return
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=newline, quoting=csv.QUOTE_ALL)
    writer.writerows([names, *rows])
    data = out.getvalue().encode()
    types = dict.fromkeys(names, "text")
    read = list(read_csv(pieces(data, size=size), types=types))
    assert read == [dict(zip(names, (cell or None for cell in row), strict=True)) for row in rows]


@given(
    columns=st.integers(1, 20).flatmap(
        lambda n: st.fixed_dictionaries(
            {
                "text": st.lists(TEXT | st.none(), min_size=n, max_size=n),
                "label": st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), min_size=n, max_size=n),
                "score": st.lists(st.floats(allow_nan=False), min_size=n, max_size=n),
                "flag": st.lists(st.booleans(), min_size=n, max_size=n),
                "tags": st.lists(st.lists(TEXT, max_size=3), min_size=n, max_size=n),
                "more": st.lists(st.fixed_dictionaries({"a": st.integers(0, 9), "b": TEXT}), min_size=n, max_size=n),
            }
        )
    ),
    row_group=st.integers(1, 7),
)
@settings(max_examples=40, deadline=None)
def test_parquet_rows_come_back(columns, row_group, tmp_path_factory):
    path = tmp_path_factory.mktemp("parquet") / "data.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=row_group)
    expected = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    assert list(read_rows(path, format="parquet")) == expected


@given(rows=JSON_ROWS.filter(bool), size=st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_the_profile_of_a_file_that_arrives_is_that_of_the_file(rows, size, tmp_path_factory):
    path = tmp_path_factory.mktemp("arriving") / "data.jsonl"
    path.write_bytes(jsonl(rows))
    arriving = profile_arriving(pieces(path.read_bytes(), size=size), path=path, format="jsonl")
    assert arriving == profile_file(path, format="jsonl")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "0", "-5"], [1, 0, -5]),
        (["1", "", "2"], [1, None, 2]),
        (["1", "x"], ["1", "x"]),
        (["007", "1"], ["007", "1"]),
        (["1.5", "2"], [1.5, 2.0]),
        (["NA", "none"], ["NA", "none"]),
        (["9" * 19, "1"], ["9" * 19, "1"]),
        (["", ""], [None, None]),
    ],
)
def test_a_csv_column_is_typed_by_all_of_its_cells(cells, expected, tmp_path: Path):
    path = tmp_path / "data.csv"
    path.write_text("text,label\n" + "".join(f"a,{cell}\n" for cell in cells))
    values = [row["label"] for row in read_rows(path, format="csv")]
    assert values == expected
    assert [type(value) for value in values] == [type(value) for value in expected]


def test_a_missing_number_in_a_csv_column_of_numbers_is_not_a_class(tmp_path: Path):
    path = tmp_path / "data.csv"
    path.write_text("text,label\na,1\nb,NaN\nc,0\n")
    label = profile_file(path, format="csv").column("label")
    assert {kind: counted.first_row for kind, counted in label.kinds.items()} == {"integer": 1, "nan": 2}


def test_the_types_of_an_arriving_csv_are_those_the_trainer_finds(tmp_path: Path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"text,label\n" + b"".join(b"text %d,%d\n" % (i, i % 3) for i in range(5000)) + b"last,x\n")
    arriving = profile_arriving(chunks_of(path), path=path, format="csv")
    assert arriving == profile_file(path, format="csv")
    assert arriving.column("label").kinds.keys() == {"string"}


def test_bom_crlf_and_line_separators_inside_rows_are_accepted():
    data = b"\xef\xbb\xbf" + '{"text": "a\u2028b\u0085c", "label": 1}\r\n\r\n{"text": "d", "label": 0}'.encode()
    assert list(read_jsonl([data])) == [{"text": "a\u2028b\u0085c", "label": 1}, {"text": "d", "label": 0}]
    table = b"\xef\xbb\xbf" + 'text,label\r\n"a\u2028b\nc",1\r\n'.encode()
    assert list(read_csv([table], types=find_cell_types([table]))) == [{"text": "a\u2028b\nc", "label": 1}]


@pytest.mark.parametrize("delimiter", ["\t", ";"])
def test_tabs_and_semicolons_separate_cells_when_the_header_has_no_comma(delimiter):
    data = f"text{delimiter}label\none, two{delimiter}1\n".encode()
    assert list(read_csv([data], types=find_cell_types([data]))) == [{"text": "one, two", "label": 1}]


def test_class_names_that_datasets_wrote_into_a_parquet_file_are_found(tmp_path: Path):
    path = tmp_path / "data.parquet"
    features = {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}, "text": {"dtype": "string", "_type": "Value"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(pa.table({"text": ["a", "b"], "label": [0, 1]}).replace_schema_metadata(metadata), path)
    assert parquet_class_names(path) == {"label": ["no", "yes"]}
    assert profile_file(path, format="parquet").class_names == {"label": ["no", "yes"]}


@pytest.mark.parametrize("kind", ["List", "Sequence", "LargeList"])
def test_class_names_of_lists_are_found_in_a_parquet_file(kind: str, tmp_path: Path):
    path = tmp_path / "data.parquet"
    features = {
        "labels": {"feature": {"names": ["joy", "anger"], "_type": "ClassLabel"}, "_type": kind},
        "words": {"feature": {"dtype": "string", "_type": "Value"}, "_type": kind},
    }
    table = pa.table({"labels": [[0, 1], []], "words": [["a"], ["b"]]})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), path)
    profile = profile_file(path, format="parquet")
    assert profile.class_names == {"labels": ["joy", "anger"]}
    assert [item.value for item in profile.column("labels").items.values] == [0, 1]
    assert list(read_rows(path, format="parquet")) == [
        {"labels": [0, 1], "words": ["a"]},
        {"labels": [], "words": ["b"]},
    ]
