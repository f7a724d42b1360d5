"""Rows that ask the same: repeated ones, and those whose labels differ."""

import random

import pytest

from app.dataset import inference, inputs
from app.dataset.inputs import profile_inputs
from app.dataset.profiler import profile_rows
from tests.dataset.conftest import spec


def find(rows, **options):
    resolved = inference.resolve(spec(**options), {"train": profile_rows(rows)})
    return profile_inputs(lambda: iter(rows), resolved)


def rows_of(*pairs):
    return [{"text": text, "label": label} for text, label in pairs]


def test_conflicts_are_told_with_rows_labels_and_text():
    found = find(rows_of(("a", "x"), ("b", "y"), ("a", "x"), ("b", "x"), ("c", "y"), ("b", "y")))
    assert (found.num_rows, found.num_repeated) == (6, 3)
    assert (found.num_conflicting_inputs, found.num_conflicting_rows) == (1, 3)
    (conflict,) = found.conflicts
    assert (conflict.rows, conflict.labels, conflict.text) == ([2, 4, 6], ["y", "x", "y"], "b")


def test_counts_are_those_of_a_plain_count():
    choose = random.Random(3)
    rows = rows_of(*((str(choose.randrange(300)), choose.choice("xyz")) for _ in range(600)))
    found = find(rows)
    labels: dict[str, list[str]] = {}
    for row in rows:
        labels.setdefault(row["text"], []).append(row["label"])
    conflicting = [given for given in labels.values() if len(set(given)) > 1]
    assert found.num_repeated == len(rows) - len(labels)
    assert found.num_conflicting_inputs == len(conflicting) > 10
    assert found.num_conflicting_rows == sum(map(len, conflicting))
    for conflict in found.conflicts:
        assert all(rows[number - 1]["text"] == conflict.text for number in conflict.rows)
        assert [rows[number - 1]["label"] for number in conflict.rows] == conflict.labels


@pytest.mark.parametrize(
    ("labels", "conflicts"),
    [
        ((1, 1.0, 0), 0),
        ((["a", "b"], ["b", "a"], ["a"]), 0),
        ((["a", "b"], ["a"], ["b"]), 1),
        ((0.5, 1.5, 2.5), 1),
        ((True, False, True), 1),
    ],
)
def test_labels_are_the_same_when_they_mean_the_same(labels, conflicts):
    first, second, other = labels
    found = find(rows_of(("same", first), ("same", second), ("other", other)))
    assert (found.num_repeated, found.num_conflicting_inputs) == (1, conflicts)


def test_both_texts_of_a_pair_must_be_the_same():
    rows = [{"sentence1": "a", "sentence2": second, "label": label} for second, label in (("b", 0), ("c", 1), ("b", 1))]
    found = find(rows)
    assert (found.text_pair, found.num_repeated) == ("sentence2", 1)
    assert [(conflict.rows, conflict.text, conflict.text_pair) for conflict in found.conflicts] == [([1, 3], "a", "b")]


def test_tags_conflict_and_spans_in_another_order_do_not():
    words = [{"tokens": ["Ada", "sings"], "ner_tags": tags} for tags in (["B-p", "O"], ["O", "O"])]
    assert find(words).conflicts[0].labels == ["B-p, O", "O, O"]
    one, two = {"start": 0, "end": 3, "label": "p"}, {"start": 4, "end": 9, "label": "q"}
    texts = [{"text": "Ada sings", "entities": spans} for spans in ([one, two], [two, one])]
    assert (find(texts).num_repeated, find(texts).num_conflicting_inputs) == (1, 0)


def test_a_prompt_may_have_several_answers():
    rows = [{"prompt": "Say hi.", "completion": answer} for answer in ("Hi.", "Hello.")]
    found = find(rows)
    assert (found.num_repeated, found.num_conflicting_inputs) == (1, 0)


def test_of_a_very_long_file_the_first_rows_are_compared(monkeypatch):
    monkeypatch.setattr(inputs, "MAX_ROWS", 4)
    found = find(rows_of(*((f"text {number // 3}", "x" if number < 6 else "y") for number in range(9))))
    assert (found.num_rows, found.num_repeated) == (4, 2)
