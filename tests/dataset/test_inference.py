"""Labels and texts: what they are found to mean, and the rows of the fault matrix (I1) that need to know it."""

import math

import pytest

from app.dataset import inference
from app.dataset.profiler import profile_rows
from app.errors import InvalidData
from tests.dataset.conftest import resolve, spec


def labelled(*labels) -> list[dict]:
    return [{"text": f"text {i}", "label": label} for i, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("labels", "names", "values"),
    [
        ((10, 2, 10, 2), ["2", "10"], [2, 10]),
        (("b", "a", "b"), ["a", "b"], ["a", "b"]),
        ((True, False), ["false", "true"], [False, True]),
        ((-1, 1), ["-1", "1"], [-1, 1]),
    ],
)
def test_labels_are_sorted_and_served_as_their_text(labels, names, values):
    resolved = resolve(labelled(*labels))
    assert (resolved.label_names, resolved.label_values) == (names, values)
    assert resolved.class_ids() == {value: i for i, value in enumerate(values)}


@pytest.mark.parametrize(
    ("labels", "given", "values"),
    [
        ((0, 1, 0), ["no", "yes"], [0, 1]),
        ((1, 2, 3), ["bad", "fair", "good"], [1, 2, 3]),
        ((0, 2, 0), ["a", "b", "c"], [0, 1, 2]),
        (("b", "a"), ["b", "a"], ["b", "a"]),
        (("b", "a"), ["b", "c", "a"], ["b", "c", "a"]),
        ((True, False), ["no", "yes"], [False, True]),
    ],
)
def test_label_names_name_the_classes_in_order(labels, given, values):
    resolved = resolve(labelled(*labels), label_names=given)
    assert (resolved.label_names, resolved.label_values) == (given, values)
    unseen = len(values) > len(set(labels))
    assert [warning["code"] for warning in resolved.warnings] == ["class_without_examples"] * unseen


@pytest.mark.parametrize(
    ("labels", "given", "code"),
    [
        ((0, 1, 2), ["no", "yes"], "label_names_mismatch"),
        ((0, 1), ["a", "b", "c"], "label_names_mismatch"),
        ((True, False), ["a", "b", "c"], "label_names_mismatch"),
        (("a", "b"), ["a", "c"], "label_not_named"),
        ((0, 1), ["a", "a"], "duplicate_label_name"),
        ((0, 1), ["a", " "], "empty_label_name"),
    ],
)
def test_label_names_that_do_not_fit_are_refused(labels, given, code):
    with pytest.raises(InvalidData) as caught:
        resolve(labelled(*labels), label_names=given)
    assert (caught.value.code, caught.value.param) == (code, "label_names")


def test_declared_class_names_are_used_and_may_be_renamed():
    declared = ["not_equivalent", "equivalent"]
    assert resolve(labelled(1, 0, 1), names=declared).label_names == declared
    assert resolve(labelled(1, 0, 1), names=declared, label_names=["no", "yes"]).label_names == ["no", "yes"]
    few = resolve(labelled(2, 0, 2), names=["a", "b", "c"])
    assert (few.label_values, few.warnings[0]["code"]) == ([0, 1, 2], "class_without_examples")
    with pytest.raises(InvalidData) as caught:
        resolve(labelled(0, 1, 2), names=declared)
    assert (caught.value.code, caught.value.problems[0].row) == ("label_out_of_range", 3)


def test_hidden_labels_of_a_test_split_leave_it_out():
    resolved = resolve(labelled(0, 1, 0), names=["a", "b"], test=labelled(-1, -1))
    assert not resolved.has_test
    assert [warning["code"] for warning in resolved.warnings] == ["hidden_test_labels"]
    assert resolve(labelled(0, 1, 0), test=labelled(1, 0)).has_test


@pytest.mark.parametrize(
    ("train", "code", "param", "row"),
    [
        ([], "no_rows", "dataset.train", None),
        (labelled(1), "too_few_rows", "dataset.train", None),
        (labelled(1, 1, 1), "single_class", "columns.label", None),
        (labelled(0, "1", 0), "mixed_label_types", "columns.label", 2),
        (labelled(0, 1, True), "mixed_label_types", "columns.label", 3),
        (labelled(0, 1, math.nan), "nan_label", "columns.label", 3),
        (labelled(0, None, 1), "null_label", "columns.label", 2),
        (labelled("a", "b", " "), "empty_label", "columns.label", 3),
        (labelled(0, 1, 0.5), "regression_not_supported", "columns.label", 3),
        (labelled([0], [1]), "multi_label_not_supported", "columns.label", 1),
        (labelled(0, {"a": 1}), "label_not_scalar", "columns.label", 2),
        (labelled(*range(10_000)) * 2, "too_many_classes", "columns.label", None),
        (labelled(*(str(i) * 60 for i in range(9_000))), "too_many_classes", "columns.label", None),
        ([{"text": "a", "label": 0}, {"text": None, "label": 1}], "null_text", "columns.text", 2),
        ([{"text": "a", "label": 0}, {"label": 1}], "null_text", "columns.text", 2),
        ([{"text": "a", "label": 0}, {"text": 5, "label": 1}], "text_not_string", "columns.text", 2),
        ([{"text": " ", "label": 0}, {"text": "", "label": 1}], "no_text", "columns.text", None),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused(train, code, param, row):
    with pytest.raises(InvalidData) as caught:
        resolve(train, columns={"text": "text", "label": "label"} if train else {})
    error = caught.value
    assert (error.code, error.param) == (code, param)
    assert [problem.row for problem in error.problems] == ([row] if row else [])
    if row:
        assert f"Row {row} of the train split" in error.message


def test_a_column_of_almost_as_many_values_as_rows_looks_like_the_wrong_one():
    with pytest.raises(InvalidData) as caught:
        resolve(labelled(*range(60)))
    assert caught.value.code == "too_many_classes"
    assert "looks like the wrong column" in caught.value.hint
    assert len(resolve(labelled(*range(60)), label_names=[f"class {i}" for i in range(60)]).label_names) == 60
    assert len(resolve(labelled(*range(60)) * 2).label_names) == 60


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize(
    ("labels", "code", "row"),
    [
        ((0, 1, 7), "label_unseen_in_train", 3),
        (("0", "1"), "mixed_label_types", 1),
        ((0, None), "null_label", 2),
        (tuple(range(10_002)), "label_unseen_in_train", 1),
    ],
)
def test_a_bad_label_in_another_split_names_the_split_and_the_row(split, labels, code, row):
    with pytest.raises(InvalidData) as caught:
        resolve(labelled(0, 1, 0, 1), **{split: labelled(*labels)})
    assert (caught.value.code, caught.value.param) == (code, f"dataset.{split}")
    assert caught.value.problems[0].row == row


def test_empty_texts_are_a_warning_with_the_row():
    data = [{"text": "a", "label": 0}, {"text": "  ", "label": 1}, {"text": "b", "label": 1}]
    (warning,) = resolve(data).warnings
    assert warning["code"] == "empty_text"
    assert "row 2" in warning["message"]


@pytest.mark.parametrize(
    ("labels", "names"), [((3, 7, 3), None), (("b", "a"), None), ((True, False), None), ((0, 2, 0), ["x", "y", "z"])]
)
def test_resolving_what_was_written_back_finds_the_same(labels, names):
    profiles = {"train": profile_rows(labelled(*labels), class_names={"label": names} if names else None)}
    first = inference.resolve(spec(), profiles)
    written = inference.write_back(spec(), first)
    assert written.task == "text-classification"
    assert (written.columns.text, written.columns.text_pair, written.columns.label) == ("text", None, "label")
    assert inference.resolve(written, profiles) == first


def test_the_report_counts_rows_labels_and_lengths_of_each_split():
    train = [*labelled("spam", "ham", "ham"), {"text": "text 1", "label": "ham"}, {"text": "", "label": "ham"}]
    profiles = {"validation": profile_rows(labelled("ham", "spam")), "train": profile_rows(train)}
    report = inference.data_report(profiles, inference.resolve(spec(), profiles))
    assert list(report["splits"]) == ["train", "validation"]
    assert report["splits"]["train"] == {
        "num_rows": 5,
        "num_exact_duplicates": 1,
        "num_empty_texts": 1,
        "label_counts": {"ham": 4, "spam": 1},
        "text_chars": {"text": {"mean": 4.8, "max": 6, "histogram": [5] + [0] * 13}},
    }
