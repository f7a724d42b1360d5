"""Our metrics against scikit-learn's."""

import numpy as np
import pytest
from sklearn import metrics as reference

from app.errors import InvalidRequest
from app.spec.metrics import METRIC_SETS, METRICS, is_greater_better, metric_names
from worker.trainer.class_report import class_report, majority_class
from worker.trainer.metrics import Metrics
from worker.trainer.tasks import text_classification as task


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluate")


@pytest.mark.parametrize("num_labels", [2, 3, 7])
def test_every_metric_is_what_scikit_learn_says(cache, num_labels):
    random = np.random.default_rng(num_labels)
    true = random.integers(num_labels, size=200)
    predicted = np.where(random.random(200) < 0.6, true, random.integers(num_labels, size=200))
    average = "binary" if num_labels == 2 else "macro"
    ours = Metrics(METRICS, num_labels=num_labels, cache_dir=cache).compute(predictions=predicted, references=true)
    assert ours == pytest.approx({
        "accuracy": reference.accuracy_score(true, predicted),
        "f1": reference.f1_score(true, predicted, average=average),
        "precision": reference.precision_score(true, predicted, average=average),
        "recall": reference.recall_score(true, predicted, average=average),
        "matthews_correlation": reference.matthews_corrcoef(true, predicted),
    })  # fmt: skip


@pytest.mark.parametrize(
    ("num_labels", "predicted", "true"), [(2, [0, 0], [0, 0]), (2, [0, 0, 0], [1, 1, 0]), (3, [0, 0, 0], [1, 2, 0])]
)
def test_a_score_that_is_undefined_is_zero(cache, num_labels, predicted, true):
    average = "binary" if num_labels == 2 else "macro"
    ours = Metrics(METRICS, num_labels=num_labels, cache_dir=cache).compute(
        predictions=np.array(predicted), references=np.array(true)
    )
    for name, score in (
        ("f1", reference.f1_score),
        ("precision", reference.precision_score),
        ("recall", reference.recall_score),
    ):
        assert ours[name] == pytest.approx(score(true, predicted, average=average, zero_division=0))
    assert ours["matthews_correlation"] == 0


def test_the_report_is_what_scikit_learn_says():
    random = np.random.default_rng(0)
    true, predicted = random.integers(4, size=100), random.integers(3, size=100)
    report = class_report(predicted, true, labels=list("abcd"), majority=1)
    assert report["confusion_matrix"] == reference.confusion_matrix(true, predicted, labels=range(4)).tolist()
    columns = reference.precision_recall_fscore_support(true, predicted, labels=range(4), zero_division=0)
    for number, row in enumerate(report["per_class"]):
        assert [row["precision"], row["recall"], row["f1"], row["support"]] == pytest.approx(
            [c[number] for c in columns]
        )
    assert report["majority_baseline"] == {"label": "b", "accuracy": np.mean(true == 1)}


def test_the_majority_is_that_of_the_training_split():
    assert majority_class(np.array([2, 1, 2]), num_labels=5) == 2


def test_the_loss_is_one_mean_over_the_split():
    logits = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    labels = np.arange(50) % 3
    assert task.mean_loss(logits, labels) == pytest.approx(reference.log_loss(labels, task.scores(logits)))


def test_the_loss_of_a_hopeless_model_is_a_finite_number():
    assert np.isfinite(task.mean_loss(np.array([[1e4, -1e4]], dtype=np.float32), np.array([1])))


def test_named_sets_are_made_of_known_metrics():
    assert {name for names in METRIC_SETS.values() for name in names} <= set(METRICS)
    assert metric_names(["f1", "glue/mrpc"]) == ("f1", "accuracy")
    with pytest.raises(InvalidRequest) as refusal:
        metric_names("bleu")
    assert refusal.value.param == "metrics"


def test_losses_are_better_when_smaller():
    assert [is_greater_better(name) for name in ("loss", "mse", "f1")] == [False, False, True]
