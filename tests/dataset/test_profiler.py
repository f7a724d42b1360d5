"""What a profile says, and that it stays small."""

import math
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.dataset import profiler
from app.dataset.profile import DatasetProfile
from app.dataset.profiler import length_bucket, profile_rows
from app.errors import InvalidData

VALUE = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(-3, 3)
    | st.just(math.nan)
    | st.text("ab \t", max_size=40)
)


def kind(value) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "nan"
    return {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}[type(value)]


@given(rows=st.lists(st.dictionaries(st.sampled_from("xyz"), VALUE, min_size=1), max_size=30))
@settings(max_examples=150, deadline=None)
def test_a_profile_counts_kinds_and_values_and_says_where_they_first_occur(rows):
    profile = profile_rows(rows)
    assert profile.num_rows == len(rows)
    assert {column.name for column in profile.columns} == {name for row in rows for name in row}
    for column in profile.columns:
        values = [row.get(column.name) for row in rows]
        kinds = [kind(value) for value in values]
        assert {k: (c.count, c.first_row) for k, c in column.kinds.items()} == {
            k: (kinds.count(k), kinds.index(k) + 1) for k in kinds
        }
        typed = [(type(v), v) for v, k in zip(values, kinds, strict=True) if k not in {"null", "nan"}]
        assert [(type(v.value), v.value, v.count) for v in column.values] == [
            (*key, typed.count(key)) for key in dict.fromkeys(typed)
        ]
        strings = [value for value in values if isinstance(value, str)]
        assert column.num_empty == sum(not value.strip() for value in strings)
        assert column.max_chars == max(map(len, strings), default=0)
        assert sum(column.length_histogram) == len(strings)
    assert DatasetProfile.model_validate_json(profile.model_dump_json()) == profile


ITEM = st.integers(-2, 2) | st.floats(-1, 1) | st.text("ab ", max_size=3) | st.none()


@given(lists=st.lists(st.lists(ITEM, max_size=4), min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_items_of_lists_are_profiled_like_a_column_of_their_own(lists):
    (column,) = profile_rows([{"labels": items} for items in lists]).columns
    flat = [(row, item) for row, items in enumerate(lists, start=1) for item in items]
    assert column.kinds["list"].count == len(lists)
    assert column.num_empty_lists == lists.count([])
    assert (column.items is None) == (flat == [])
    if column.items is not None:
        (alone,) = profile_rows([{"labels": item} for _, item in flat]).columns

        def moved(first_row):
            return None if first_row is None else flat[first_row - 1][0]

        assert column.items == alone.model_copy(update={
            "kinds": {k: c.model_copy(update={"first_row": moved(c.first_row)}) for k, c in alone.kinds.items()},
            "values": [v.model_copy(update={"first_row": moved(v.first_row)}) for v in alone.values],
            "first_empty_row": moved(alone.first_empty_row),
        })  # fmt: skip


def test_lists_of_anything_but_labels_are_soon_not_looked_into():
    rows = [{"vector": [float(number) for number in range(start, start + 500)]} for start in range(0, 50_000, 500)]
    (column,) = profile_rows(rows).columns
    assert column.kinds["list"].count == 100
    assert column.items.values is None
    assert column.items.kinds["number"].count == profiler.MAX_DISTINCT + 1


def test_the_range_of_numbers_is_that_of_all_finite_ones():
    column = profile_rows([{"n": value} for value in (3, -1.5, math.nan, None, 0)]).columns[0]
    assert column.numbers.model_dump() == {"min": -1.5, "max": 3, "mean": 0.5}
    assert profile_rows([{"n": "3"}, {"n": True}]).columns[0].numbers is None
    assert profile_rows([{"n": 1.7e308}] * 3).columns[0].numbers.mean == 1.7e308


@pytest.mark.parametrize(("num_chars", "bucket"), [(0, 0), (15, 0), (16, 1), (31, 1), (32, 2), (64, 3), (10**7, 13)])
def test_lengths_fall_into_doubling_buckets(num_chars, bucket):
    assert length_bucket(num_chars) == bucket


def test_equal_rows_are_counted_as_duplicates_whatever_the_order_of_their_columns():
    rows = [{"a": 1, "b": "x"}, {"b": "x", "a": 1}, {"a": 1, "b": "y"}, {"a": 1, "b": "x"}]
    assert profile_rows(rows).num_exact_duplicates == 2


def test_duplicates_among_very_many_rows_are_estimated(monkeypatch):
    monkeypatch.setattr(profiler, "MAX_HASHES", 2000)
    rows = ({"text": f"text {i % 15_000}"} for i in range(20_000))
    assert 4000 < profile_rows(rows).num_exact_duplicates < 6000


@pytest.mark.parametrize(("distinct", "kept"), [(10_001, True), (10_002, False)])
def test_values_are_kept_up_to_a_number(distinct, kept):
    column = profile_rows({"label": i} for i in range(distinct)).columns[0]
    assert (column.values is not None) == kept
    assert column.kinds["integer"].count == distinct


def test_long_values_and_many_long_texts_are_not_kept():
    assert profile_rows([{"text": "x" * 257}, {"text": "a"}]).columns[0].values is None
    assert profile_rows({"text": f"{i:0200}"} for i in range(2000)).columns[0].values is None


def test_when_many_columns_have_many_values_the_one_with_few_keeps_its_own():
    rows = ({f"c{i}": n * 50 + i for i in range(30)} | {"label": n % 2} for n in range(9000))
    profile = profile_rows(rows)
    assert len(profile.column("label").values) == 2
    assert sum(len(column.values or ()) for column in profile.columns) <= profiler.MAX_DISTINCT_TOTAL


def test_memory_does_not_grow_with_the_rows():
    def peak(num_rows: int) -> int:
        tracemalloc.start()
        profile_rows(
            {"text": f"{i} is the number of this row, and here is more", "label": i % 5} for i in range(num_rows)
        )
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(60_000) - peak(20_000) < 40_000 * 20, "8 bytes a row for duplicates, and the array's room to grow"


@pytest.mark.parametrize("value", [2**70, "\ud800", "nul \0"])
def test_what_cannot_be_stored_is_refused_with_its_row(value):
    with pytest.raises(InvalidData) as caught:
        profile_rows([{"text": "a"}, {"text": value}])
    assert caught.value.problems[0].row == 2
    with pytest.raises(InvalidData) as caught:
        profile_rows([{"text": ["a"]}, {"text": ["a", value]}])
    assert caught.value.problems[0].row == 2
