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
        (labelled("a", "b", 0.5), "mixed_label_types", "columns.label", 3),
        (labelled(0.5, 1, "a"), "mixed_label_types", "columns.label", 3),
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


MULTI, NUMBER, SINGLE = "multi_label_classification", "regression", "single_label_classification"


@pytest.mark.parametrize(
    ("labels", "problem_type", "names", "values"),
    [
        ((0.5, 1, 2), NUMBER, ["score"], []),
        ((1.5, 2.5, 1.5), NUMBER, ["score"], []),
        ((1.0, 0.0, 1), SINGLE, ["0", "1"], [0, 1]),
        (([], ["b"], ["a", "b"]), MULTI, ["a", "b"], ["a", "b"]),
        (([10], [2, 10], []), MULTI, ["2", "10"], [2, 10]),
        (([3.0], [1, 3], [7]), MULTI, ["1", "3", "7"], [1, 3, 7]),
        ((["a"], []), MULTI, ["a"], ["a"]),
    ],
)
def test_the_kind_of_problem_is_told_by_the_labels(labels, problem_type, names, values):
    resolved = resolve(labelled(*labels))
    assert (resolved.problem_type, resolved.label_names, resolved.label_values) == (problem_type, names, values)
    assert [type(value) for value in resolved.label_values] == [type(value) for value in values]


def test_the_kind_of_problem_can_be_said_where_the_labels_leave_it_open():
    whole_numbers = labelled(1, 2, 5, 2)
    assert resolve(whole_numbers, problem_type=NUMBER).label_names == ["score"]
    assert resolve(whole_numbers, problem_type=NUMBER, label_names=["stars"]).label_names == ["stars"]
    assert resolve(whole_numbers).label_names == ["1", "2", "5"]


def test_more_different_numbers_than_are_remembered_are_a_regression():
    assert resolve(labelled(*(number + 0.0 for number in range(10_500)))).problem_type == NUMBER


@pytest.mark.parametrize(
    ("labels", "problem_type", "code", "row"),
    [
        ((0, 1, 0.5), SINGLE, "label_is_a_fraction", 3),
        ((0.0, 1, 0.5), SINGLE, "label_is_a_fraction", 3),
        ((0, [1], 1), SINGLE, "label_is_a_list", 2),
        ((0.5, [1.5]), NUMBER, "label_is_a_list", 2),
        ((0.5, "high"), NUMBER, "label_not_a_number", 2),
        ((0.5, 1.5, True), NUMBER, "label_not_a_number", 3),
        ((0.5, math.inf), "auto", "nan_label", 2),
        ((0.5, math.nan), "auto", "nan_label", 2),
        ((0.5, None, 1.5), "auto", "null_label", 2),
        ((2.5, 2.5), "auto", "single_class", None),
        ((["a"], "b"), "auto", "label_not_a_list", 2),
        (("a;b", "c"), MULTI, "label_not_a_list", 1),
        ((["a"], None, ["b"]), "auto", "null_label", 2),
        ((["a"], ["b", None]), "auto", "null_label", 2),
        ((["a"], [["b"]]), "auto", "label_is_a_list", 2),
        ((["a"], ["b", {"c": 1}]), "auto", "label_not_scalar", 2),
        ((["a"], ["b", ""]), "auto", "empty_label", 2),
        ((["a"], ["b", 1]), "auto", "mixed_label_types", 2),
        (([1], [2, 0.5]), "auto", "label_is_a_fraction", 2),
        (([1], [2, math.nan]), "auto", "nan_label", 2),
        (([], []), "auto", "single_class", None),
        ((["a"], ["a"]), "auto", "single_class", None),
        (([0, 0, 1], [1, 0, 0]), "auto", "label_vectors", None),
        (([0.0, 1.0, 0.0], [1.0, 1.0, 0.0]), "auto", "label_vectors", None),
        (tuple([f"label {i}"] for i in range(50)), "auto", "too_many_classes", None),
        (tuple([f"label {i}", f"label -{i}"] for i in range(6_000)), "auto", "too_many_classes", None),
    ],
)
def test_labels_that_do_not_fit_the_problem_are_refused(labels, problem_type, code, row):
    with pytest.raises(InvalidData) as caught:
        resolve(labelled(*labels), problem_type=problem_type)
    assert (caught.value.code, caught.value.param) == (code, "columns.label")
    assert [problem.row for problem in caught.value.problems] == ([row] if row else [])


@pytest.mark.parametrize(
    ("train", "validation", "code", "row"),
    [
        ((["a"], ["b"]), (["a"], ["a", "c"]), "label_unseen_in_train", 2),
        ((["a"], ["b"]), ("a", "b"), "label_not_a_list", 1),
        ((["a"], ["b"]), ([], [1]), "mixed_label_types", 2),
        ((["1"], ["2"]), (tuple([str(i)] for i in range(10_002))), "label_unseen_in_train", 1),
        ((0.5, 1.5), (1, "b"), "label_not_a_number", 2),
        ((0, 1), (1, 0.5), "label_is_a_fraction", 2),
    ],
)
def test_labels_of_another_split_have_to_be_of_the_same_kind(train, validation, code, row):
    with pytest.raises(InvalidData) as caught:
        resolve(labelled(*train), validation=labelled(*validation))
    assert (caught.value.code, caught.value.param) == (code, "dataset.validation")
    assert caught.value.problems[0].row == row


def test_a_validation_split_may_hold_whole_numbers_or_no_labels_at_all():
    assert resolve(labelled(0.5, 1.5), validation=labelled(1, 2)).problem_type == NUMBER
    assert resolve(labelled(["a"], ["b"]), validation=labelled([], [])).problem_type == MULTI
    assert resolve(labelled(0, 1), validation=labelled(1.0, 0.0)).label_values == [0, 1]


def test_declared_class_names_hold_for_lists_too():
    declared = ["joy", "anger", "relief"]
    resolved = resolve(labelled([2, 0], [], [1]), names=declared)
    assert (resolved.label_names, resolved.label_values) == (declared, [0, 1, 2])
    with pytest.raises(InvalidData) as caught:
        resolve(labelled([0], [3]), names=declared)
    assert (caught.value.code, caught.value.problems[0].row) == ("label_out_of_range", 2)


def test_a_hidden_test_split_of_a_regression_is_left_out():
    assert not resolve(labelled(0.5, 1.5, 3), test=labelled(-1.0, -1.0)).has_test


def test_large_numbers_are_warned_of():
    assert [warning["code"] for warning in resolve(labelled(0.5, -250.0)).warnings] == ["large_numbers"]
    assert resolve(labelled(2000.5, 2015)).warnings == []


@pytest.mark.parametrize("names", [["a", "b"], []])
def test_a_regression_has_one_name(names):
    with pytest.raises(InvalidData) as caught:
        resolve(labelled(0.5, 1.5), label_names=names)
    assert caught.value.code == "label_names_mismatch"


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
    ("labels", "names"),
    [
        ((3, 7, 3), None),
        (("b", "a"), None),
        ((True, False), None),
        ((0, 2, 0), ["x", "y", "z"]),
        ((0.5, 2), None),
        ((1.0, 2.0), None),
        ((["b"], [], ["a", "b"]), None),
        (([1], [0]), ["x", "y"]),
    ],
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
        "label_shares": {"ham": 0.8, "spam": 0.2},
        "missing_labels": [],
        "text_chars": {"text": {"mean": 4.8, "max": 6, "histogram": [5] + [0] * 13}},
    }


def test_the_report_counts_several_labels_each_and_the_rows_without():
    profiles = {"train": profile_rows(labelled(["a", "b"], [], ["b"], []))}
    report = inference.data_report(profiles, inference.resolve(spec(), profiles))["splits"]["train"]
    assert (report["label_counts"], report["num_without_labels"]) == ({"a": 1, "b": 2}, 2)


def test_the_report_of_a_regression_tells_the_range():
    profiles = {"train": profile_rows(labelled(0.5, 2, -1))}
    report = inference.data_report(profiles, inference.resolve(spec(), profiles))["splits"]["train"]
    assert report["label_range"] == {"min": -1, "max": 2, "mean": 0.5}
    assert "label_counts" not in report


def test_the_report_counts_a_label_once_however_it_is_written():
    profiles = {"train": profile_rows(labelled(1, 1.0, 0, 1))}
    report = inference.data_report(profiles, inference.resolve(spec(), profiles))["splits"]["train"]
    assert report["label_counts"] == {"0": 1, "1": 3}
