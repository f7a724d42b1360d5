"""Words with tags and texts with spans: when data means that, what it means, and the rows that are refused."""

import pytest

from app.dataset import inference
from app.dataset.profiler import profile_rows
from app.errors import InvalidData
from tests.dataset.conftest import resolve, spec

WORDS = [
    {"id": "1", "tokens": ["Ada", "lives", "in", "Rome"], "ner_tags": ["B-person", "O", "O", "B-place"]},
    {"id": "2", "tokens": ["Nobody", "knows"], "ner_tags": ["O", "O"]},
]
SPANS = [
    {"text": "Ada lives in Rome.", "entities": [{"start": 0, "end": 3, "label": "person", "text": "Ada"}]},
    {"text": "Nobody knows.", "entities": []},
    {"text": "Go to Rome", "entities": [{"start": 6, "end": 10, "label": "place"}]},
]


def test_lists_of_words_with_lists_of_tags_are_token_classification():
    resolved = resolve(WORDS)
    assert (resolved.task, resolved.problem_type) == ("token-classification", "token_classification")
    assert (resolved.text, resolved.text_pair, resolved.label) == ("tokens", None, "ner_tags")
    assert resolved.label_names == ["B-person", "B-place", "O"]
    assert not resolved.spans


def test_texts_with_lists_of_spans_are_token_classification():
    resolved = resolve(SPANS)
    assert (resolved.task, resolved.text, resolved.label) == ("token-classification", "text", "entities")
    assert resolved.label_names == ["person", "place"]
    assert resolved.spans


def test_of_several_columns_of_tags_those_of_names_are_meant():
    rows = [{**row, "pos_tags": [["NN", "VB"][len(word) % 2] for word in row["tokens"]]} for row in WORDS]
    assert resolve(rows).label == "ner_tags"
    assert resolve(rows, columns={"label": "pos_tags"}).label_names == ["NN", "VB"]


def test_numbers_are_named_where_the_source_declares_them():
    rows = [{"tokens": ["a", "b"], "ner_tags": [0, 1]}]
    profiles = {"train": profile_rows([*rows, *rows], class_names={"ner_tags": ["O", "B-x", "I-x"]})}
    resolved = inference.resolve(spec(), profiles)
    assert (resolved.label_names, resolved.label_values) == (["O", "B-x", "I-x"], [0, 1, 2])


@pytest.mark.parametrize("rows", [WORDS, SPANS], ids=["words", "spans"])
def test_resolving_what_was_written_back_finds_the_same(rows):
    profiles = {"train": profile_rows(rows)}
    first = inference.resolve(spec(), profiles)
    written = inference.write_back(spec(), first)
    assert written.task == "token-classification"
    assert inference.resolve(written, profiles) == first
    assert inference.data_report(profiles, first)["splits"]["train"]["num_rows"] == len(rows)


def test_the_report_counts_tags_or_kinds():
    counts = {}
    for name, rows in (("words", WORDS), ("spans", SPANS)):
        profiles = {"train": profile_rows(rows)}
        report = inference.data_report(profiles, inference.resolve(spec(), profiles))["splits"]["train"]
        counts[name] = report["label_counts"]
    assert counts == {"words": {"B-person": 1, "B-place": 1, "O": 4}, "spans": {"person": 1, "place": 1}}


def test_lists_of_labels_beside_a_text_are_not_tags():
    rows = [{"text": "a b", "labels": ["x", "y"]}, {"text": "c", "labels": []}]
    assert resolve(rows).problem_type == "multi_label_classification"


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"tokens": ["a", "b"], "ner_tags": ["O"]}, "uneven_tags"),
        ({"tokens": ["a", 3], "ner_tags": ["O", "O"]}, "text_not_string"),
        ({"tokens": "a b", "ner_tags": ["O", "O"]}, "words_not_a_list"),
        ({"tokens": None, "ner_tags": []}, "words_not_a_list"),
        ({"tokens": ["a"], "ner_tags": "O"}, "label_not_a_list"),
        ({"tokens": ["a"], "ner_tags": None}, "null_label"),
        ({"tokens": ["a"], "ner_tags": [None]}, "null_label"),
        ({"tokens": ["a"], "ner_tags": [3]}, "mixed_label_types"),
    ],
)
def test_a_row_whose_tags_do_not_fit_its_words_is_named(row, code):
    with pytest.raises(InvalidData, match="Row 3 of the train split") as refused:
        resolve([*WORDS, row])
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("span", "code"),
    [
        ({"start": 0, "end": 3}, "invalid_span"),
        ({"start": "0", "end": 3, "label": "person"}, "invalid_span"),
        ({"start": 0, "end": None, "label": "person"}, "invalid_span"),
        ({"start": 0, "end": 3, "label": 4}, "invalid_span"),
    ],
)
def test_a_row_with_a_broken_span_is_named(span, code):
    with pytest.raises(InvalidData, match="Row 4 of the train split") as refused:
        resolve([*SPANS, {"text": "Ada", "entities": [span]}])
    assert refused.value.code == code


def test_a_tag_that_training_never_shows_is_refused():
    with pytest.raises(InvalidData, match="B-thing") as refused:
        resolve(WORDS, validation=[{"tokens": ["x"], "ner_tags": ["B-thing"]}])
    assert refused.value.code == "label_unseen_in_train"


def test_only_the_tag_o_is_nothing_to_learn():
    with pytest.raises(InvalidData, match="nothing to learn"):
        resolve([{"tokens": ["a", "b"], "ner_tags": ["O", "O"]}, {"tokens": ["a"], "ner_tags": ["O"]}])


def test_a_task_and_a_problem_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="regression is text-classification"):
        spec(task="token-classification", problem_type="regression")


def test_labels_of_a_text_that_also_has_its_words_are_not_tags():
    rows = [
        {"text": "a b c", "tokens": ["a", "b", "c"], "labels": ["x", "y"]},
        {"text": "d", "tokens": ["d"], "labels": []},
    ]
    assert resolve(rows).problem_type == "multi_label_classification"


def test_spans_are_seen_in_a_column_of_any_name():
    rows = [{"text": row["text"], "ents": row["entities"]} for row in SPANS]
    assert (resolve(rows).task, resolve(rows).label) == ("token-classification", "ents")


def test_tags_that_are_numbers_without_names_are_warned_of():
    rows = [{"tokens": ["a", "b"], "ner_tags": [0, 1]}] * 2
    assert [warning["code"] for warning in resolve(rows).warnings] == ["tags_without_names"]
    assert resolve(rows, label_names=["O", "B-x"]).warnings == []
