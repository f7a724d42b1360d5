"""Columns are found by the names that data sets use, and asked for when that is not clear."""

import pytest

from app.errors import InvalidData
from tests.dataset.conftest import resolve


def rows(*names: str, **fixed) -> list[dict]:
    return [
        {name: (i % 2 if name.lower() in {"label", "labels", "idx", "stars"} else f"{name} {i}") for name in names}
        | fixed
        for i in range(4)
    ]


@pytest.mark.parametrize(
    ("names", "texts", "label"),
    [
        (("sentence1", "sentence2", "label", "idx"), ["sentence1", "sentence2"], "label"),
        (("idx", "sentence", "label"), ["sentence"], "label"),
        (("premise", "hypothesis", "label"), ["premise", "hypothesis"], "label"),
        (("question1", "question2", "label", "idx"), ["question1", "question2"], "label"),
        (("question", "question2", "label"), ["question", "question2"], "label"),
        (("question", "sentence", "label", "idx"), ["question", "sentence"], "label"),
        (("text", "label"), ["text"], "label"),
        (("Text", "Label"), ["Text"], "Label"),
        (("review", "stars"), ["review"], "stars"),
        (("text", "label", "label_text"), ["text"], "label"),
        (("source", "text", "label"), ["text"], "label"),
        (("wording", "label"), ["wording"], "label"),
        (("label", "sms"), ["sms"], "label"),
    ],
)
def test_known_names_are_understood(names, texts, label):
    resolved = resolve(rows(*names))
    assert (resolved.text_columns, resolved.label) == (texts, label)


def test_the_only_column_beside_the_text_is_the_label():
    data = [{"text": f"text {i}", "spam": i % 2 == 0, "id": i} for i in range(4)]
    assert resolve(data).label == "spam"


@pytest.mark.parametrize(
    ("names", "param"),
    [
        (("text", "review", "label"), "columns.text"),
        (("sentence1", "sentence2", "text", "label"), "columns.text"),
        (("first", "second", "label"), "columns.text"),
        (("text", "first", "second"), "columns.label"),
    ],
)
def test_when_it_is_not_clear_the_columns_are_listed(names, param):
    with pytest.raises(InvalidData) as caught:
        resolve(rows(*names))
    assert (caught.value.code, caught.value.param) == ("ambiguous_columns", param)
    assert all(repr(name) in caught.value.message for name in names)


@pytest.mark.parametrize(
    ("columns", "texts"),
    [
        ({"text": "sentence1"}, ["sentence1", "sentence2"]),
        ({"text": "sentence1", "text_pair": None}, ["sentence1"]),
        ({"text": "sentence2"}, ["sentence2"]),
        ({"text_pair": "sentence2"}, ["sentence1", "sentence2"]),
        ({"text": "sentence2", "text_pair": "sentence1"}, ["sentence2", "sentence1"]),
    ],
)
def test_what_is_given_is_used_and_the_rest_found(columns, texts):
    assert resolve(rows("sentence1", "sentence2", "label"), columns=columns).text_columns == texts


@pytest.mark.parametrize(
    ("columns", "code", "param"),
    [
        ({"text": "txt"}, "missing_column", "columns.text"),
        ({"text_pair": "other"}, "missing_column", "columns.text_pair"),
        ({"label": "klass"}, "missing_column", "columns.label"),
        ({"text": "text", "label": "text"}, "duplicate_column", "columns"),
        ({"text": "text", "text_pair": "text"}, "duplicate_column", "columns"),
    ],
)
def test_a_column_that_is_not_there_or_named_twice_is_refused(columns, code, param):
    with pytest.raises(InvalidData) as caught:
        resolve(rows("text", "label"), columns=columns)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_without_any_column_for_the_label_it_is_said():
    with pytest.raises(InvalidData) as caught:
        resolve(rows("text"))
    assert (caught.value.code, caught.value.param) == ("missing_column", "columns.label")


def test_a_column_missing_in_another_split_names_the_split():
    with pytest.raises(InvalidData) as caught:
        resolve(rows("text", "label"), validation=rows("sentence", "label"))
    assert (caught.value.code, caught.value.param) == ("missing_column", "dataset.validation")
