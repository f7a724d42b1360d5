import numpy as np
import pytest

from worker.predictor.decode import label_scores

LABELS = ["a", "b", "c"]
LOGITS = np.array([[1.0, 3.0, 2.0]], dtype=np.float32)


def test_softmax_gives_all_labels_best_first_and_sums_to_one():
    (row,) = label_scores(LOGITS, labels=LABELS)
    assert [label for label, _ in row] == ["b", "c", "a"]
    assert sum(score for _, score in row) == pytest.approx(1, abs=1e-12)
    assert row[0][1] == pytest.approx(np.e**3 / (np.e + np.e**2 + np.e**3))


def test_sigmoid_scores_each_label_by_itself():
    (row,) = label_scores(LOGITS, labels=LABELS, function_to_apply="sigmoid")
    assert row == [(label, pytest.approx(1 / (1 + np.exp(-value)))) for label, value in (("b", 3), ("c", 2), ("a", 1))]


def test_none_gives_the_logits_themselves():
    assert label_scores(LOGITS, labels=LABELS, function_to_apply="none") == [[("b", 3.0), ("c", 2.0), ("a", 1.0)]]


def test_extreme_logits_give_finite_scores():
    extreme = np.array([[1e4, -1e4, 0.0]], dtype=np.float32)
    for function in ("softmax", "sigmoid"):
        (row,) = label_scores(extreme, labels=LABELS, function_to_apply=function)
        assert row[0] == ("a", 1.0)
        assert dict(row)["b"] == 0.0
        assert all(np.isfinite(score) for _, score in row)


def test_top_k_and_threshold_leave_out_the_rest():
    assert label_scores(LOGITS, labels=LABELS, function_to_apply="none", top_k=2) == [[("b", 3.0), ("c", 2.0)]]
    assert label_scores(LOGITS, labels=LABELS, function_to_apply="none", threshold=2.0) == [[("b", 3.0), ("c", 2.0)]]
    assert label_scores(LOGITS, labels=LABELS, threshold=0.99) == [[]]


def test_equal_scores_come_in_the_order_of_the_classes():
    (row,) = label_scores(np.zeros((1, 3), dtype=np.float32), labels=LABELS)
    assert [label for label, _ in row] == LABELS
