"""What is said of a data report, and that nothing is said of data that is in order."""

import pytest

from app.dataset import inference
from app.dataset.advice import advise, overlap_advice
from app.dataset.inputs import profile_inputs
from app.dataset.profiler import profile_rows
from tests.dataset.conftest import spec


def balanced(count, *, start=0):
    return [{"text": f"text {number}", "label": "xy"[number % 2]} for number in range(start, start + count)]


def advice(train, *, weighs_classes=False, **others):
    splits = {"train": train, **others}
    resolved = inference.resolve(spec(), {split: profile_rows(rows) for split, rows in splits.items()})
    profiles = {
        split: profile_rows(rows).model_copy(update={"inputs": profile_inputs(lambda rows=rows: iter(rows), resolved)})
        for split, rows in splits.items()
    }
    report = inference.data_report(profiles, resolved)
    found = advise(report, problem_type=resolved.problem_type, weighs_classes=weighs_classes)
    return {warning["code"]: warning["message"] for warning in found}


def test_good_data_is_not_talked_about():
    assert advice(balanced(200), validation=balanced(60, start=200), test=balanced(60, start=260)) == {}


@pytest.mark.parametrize(
    ("rows", "code", "words"),
    [
        (balanced(20), "small_dataset", ["only 20 rows", "several seeds"]),
        ([*balanced(150), {"text": "odd", "label": "z"}], "few_examples_of_class", ["1 class ", "z (1)", "merge"]),
        ([row | {"label": "x"} for row in balanced(180)] + balanced(20, start=180), "imbalanced_labels",
         ["95%", "label x", "class_weights", "balanced"]),
        (balanced(150) + balanced(4), "duplicate_rows", ["4 rows (2.6%)", "Remove"]),
        ([*balanced(150), {"text": "text 0", "label": "y"}], "conflicting_labels",
         ["2 rows of the train split", "rows 1 (x), 151 (y)", "Decide"]),
    ],
)  # fmt: skip
def test_each_kind_of_bad_data_is_told_with_what_to_do(rows, code, words):
    found = advice(rows)
    assert list(found) == [code]
    assert [word for word in words if word not in found[code]] == []


def test_unequal_classes_are_no_news_to_a_job_that_weighs_them():
    rows = [row | {"label": "x"} for row in balanced(180)] + balanced(20, start=180)
    assert advice(rows, weighs_classes=True) == {}


def test_what_evaluation_cannot_tell_is_said():
    found = advice(balanced(200), validation=[{"text": f"new {n}", "label": "x"} for n in range(10)])
    assert "only 10 rows" in found["small_split"]
    assert "10%" in found["small_split"]
    assert "no example of y" in found["label_not_evaluated"]


def test_an_overlap_is_told_with_its_rows():
    overlap = {"num_rows": 37, "share": 0.123, "examples": [{"row": 4, "train_row": 9}, {"row": 1200, "train_row": 3}]}
    (warning,) = overlap_advice("validation", overlap, set_aside=False)
    assert warning["code"] == "split_overlap"
    assert (
        "37 rows (12.3%) of the validation split stand in train too, such as rows 4, 1,200 and others"
        in warning["message"]
    )
    assert "set a part aside" in warning["message"]
    (warning,) = overlap_advice("validation", overlap, set_aside=True)
    assert "Remove repeated texts" in warning["message"]
    assert overlap_advice("test", {"num_rows": 0, "share": 0.0, "examples": []}, set_aside=False) == []
