"""Our metrics against scikit-learn's and SciPy's, and the reports and losses of each kind of problem."""

import warnings

import numpy as np
import pytest
import scipy.stats
import torch
import transformers
from sklearn import metrics as reference

from app.errors import InvalidRequest
from app.spec.metrics import ALIASES, METRIC_SETS, METRICS, check_fit, is_greater_better, metric_names
from app.spec.training import TrainingSpec
from tests.trainer.conftest import task_for
from worker.trainer.metrics import Metrics

SINGLE, MULTI, NUMBER = "single_label_classification", "multi_label_classification", "regression"


@pytest.fixture(scope="module")
def compute(tmp_path_factory):
    """All metrics of a kind of problem, as a job computes them; they are loaded once."""
    loaded = {}

    def run(problem_type, predictions, references, *, scores=None, num_labels=1):
        key = (problem_type, num_labels)
        if key not in loaded:
            folder = tmp_path_factory.mktemp("evaluate")
            loaded[key] = Metrics(
                METRICS[problem_type], problem_type=problem_type, num_labels=num_labels, cache_dir=folder
            )
        scores = np.zeros((len(references), num_labels)) if scores is None else scores
        return loaded[key].compute(predictions=predictions, scores=scores, references=references)

    return run


def averages(true, predicted, *, plain):
    """F1, precision and recall in every average, with 0 for 0 / 0."""
    scores = {"f1": reference.f1_score, "precision": reference.precision_score, "recall": reference.recall_score}
    return {
        name + suffix: score(true, predicted, average=suffix.removeprefix("_") or plain, zero_division=0)
        for name, score in scores.items()
        for suffix in ("", "_macro", "_micro", "_weighted")
    }


def ranked(true, scores):
    """ROC-AUC over the columns where it is defined; 0.5 if it is nowhere."""
    defined = [column for column in range(true.shape[1]) if len(np.unique(true[:, column])) == 2]
    return np.mean([reference.roc_auc_score(true[:, c], scores[:, c]) for c in defined]) if defined else 0.5


SINGLE_CASES = [
    (2, None, None),
    (3, None, None),
    (7, None, None),
    (2, [0, 0], [0, 0]),
    (2, [0, 0, 0], [1, 1, 0]),
    (2, [1, 1], [0, 0]),
    (3, [0, 0, 0], [1, 2, 0]),
    (5, [4, 4, 0], [4, 0, 0]),
]


@pytest.mark.parametrize(("num_labels", "predicted", "true"), SINGLE_CASES)
def test_metrics_of_classes_are_what_scikit_learn_says(compute, num_labels, predicted, true):
    random = np.random.default_rng(num_labels)
    if true is None:
        true = random.integers(num_labels, size=200)
        predicted = np.where(random.random(200) < 0.6, true, random.integers(num_labels, size=200))
    true, predicted = np.array(true), np.array(predicted)
    scores = random.random((len(true), num_labels)).round(1) + 0.1  # with ties
    scores /= scores.sum(axis=1, keepdims=True)
    columns = true[:, None] == np.arange(num_labels)
    if num_labels == 2:
        columns, chosen = columns[:, 1:], scores[:, 1:]
    else:
        chosen = scores
    ours = compute(SINGLE, predicted, true, scores=scores, num_labels=num_labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": reference.accuracy_score(true, predicted),
            "matthews_correlation": reference.matthews_corrcoef(true, predicted),
            "roc_auc": ranked(columns, chosen),
            **averages(true, predicted, plain="binary" if num_labels == 2 else "macro"),
        }
    assert ours == pytest.approx(expected)


def test_roc_auc_of_several_classes_is_one_against_the_rest(compute):
    random = np.random.default_rng(0)
    true, scores = random.integers(4, size=100), random.dirichlet(np.ones(4), size=100)
    ours = compute(SINGLE, true, true, scores=scores, num_labels=4)["roc_auc"]
    assert ours == pytest.approx(reference.roc_auc_score(true, scores, multi_class="ovr", average="macro"))


MULTI_CASES = [
    None,
    ([[0, 0, 0], [0, 0, 0]], [[0, 1, 0], [0, 0, 0]]),
    ([[0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]),
    ([[1, 1, 1], [1, 1, 1]], [[1, 1, 1], [1, 1, 1]]),
    ([[1, 0, 1], [0, 0, 0]], [[1, 1, 1], [1, 0, 0]]),
]


@pytest.mark.parametrize("case", MULTI_CASES)
def test_metrics_of_several_labels_are_what_scikit_learn_says(compute, case):
    random = np.random.default_rng(5)
    if case is None:
        true = random.random((150, 3)) < [0.5, 0.1, 0.02]
        case = (np.where(random.random((150, 3)) < 0.8, true, ~true), true)
    predicted, true = (np.array(array, dtype=np.uint8) for array in case)
    scores = random.random(true.shape).round(1)
    ours = compute(MULTI, predicted, true, scores=scores, num_labels=3)
    expected = {
        "accuracy": reference.accuracy_score(true, predicted),
        "roc_auc": ranked(true, scores),
        **averages(true, predicted, plain="macro"),
    }
    assert ours == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
def test_metrics_of_numbers_are_what_scipy_and_scikit_learn_say(compute, seed):
    random = np.random.default_rng(seed)
    true = random.normal(3, 2, size=80).round(seed).astype(np.float32)  # rounded: with ties
    predicted = (0.5 * true + random.normal(size=80)).astype(np.float32).round(1)
    assert compute(NUMBER, predicted, true) == pytest.approx({
        "pearson": scipy.stats.pearsonr(predicted.astype(float), true.astype(float)).statistic,
        "spearmanr": scipy.stats.spearmanr(predicted, true).statistic,
        "mse": reference.mean_squared_error(true.astype(float), predicted.astype(float)),
        "rmse": reference.root_mean_squared_error(true.astype(float), predicted.astype(float)),
        "mae": reference.mean_absolute_error(true.astype(float), predicted.astype(float)),
    })  # fmt: skip


@pytest.mark.parametrize(
    ("predicted", "true"), [([0.3] * 3, [1, 2, 3]), ([1, 2, 3], [0.1] * 3), ([2.0], [5.0]), ([1e-200, 0], [1, 2])]
)
def test_a_correlation_that_is_undefined_is_zero(compute, predicted, true):
    found = compute(NUMBER, np.array(predicted), np.array(true))
    assert all(np.isfinite(value) for value in found.values())
    if len(set(predicted)) == 1 or len(set(true)) == 1:
        assert (found["pearson"], found["spearmanr"]) == (0, 0)


def test_numbers_far_from_zero_keep_their_correlation(compute):
    steps = np.array([0.0, 1, 2, 3, 5])
    assert compute(NUMBER, 1e6 + steps, 1e6 + steps[::-1])["pearson"] == pytest.approx(
        scipy.stats.pearsonr(steps, steps[::-1]).statistic
    )


@pytest.fixture(params=[SINGLE, MULTI, NUMBER])
def case(request):
    """A task, and logits and labels of it."""
    width = 1 if request.param == NUMBER else 4
    random = np.random.default_rng(0)
    logits = random.normal(size=(50, width)).astype(np.float32)
    task = task_for(request.param, num_outputs=width)
    answers = {
        SINGLE: lambda: random.integers(4, size=50),
        MULTI: lambda: [[n for n in range(4) if random.random() < 0.4] for _ in range(50)],
        NUMBER: lambda: random.normal(size=50),
    }
    return task, logits, task.stack([task.read_label(value) for value in answers[request.param]()])


def test_the_loss_is_that_of_transformers(case):
    """As a model of this problem type computes it from labels."""
    task, logits, labels = case
    config = transformers.BertConfig(num_labels=task.num_outputs, problem_type=task.problem_type)
    head = transformers.loss.loss_utils.ForSequenceClassificationLoss
    tensors = torch.from_numpy(labels).float() if task.problem_type == MULTI else torch.from_numpy(labels)
    theirs = head(labels=tensors, pooled_logits=torch.from_numpy(logits), config=config)
    ours = task.training_loss(torch.from_numpy(logits), torch.from_numpy(labels), args=TrainingSpec()) / len(labels)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    assert task.mean_loss(logits, labels) == pytest.approx(theirs.item(), rel=1e-5)


def test_the_loss_is_a_sum_over_examples_whatever_the_batches(case):
    task, logits, labels = case
    whole, *parts = (
        task.training_loss(torch.from_numpy(logits[s]), torch.from_numpy(labels[s]), args=TrainingSpec()).item()
        for s in (slice(None), slice(0, 7), slice(7, 50))
    )
    assert sum(parts) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize(("problem_type", "labels"), [(SINGLE, [1]), (MULTI, [[0, 1]])])
def test_the_loss_of_a_hopeless_model_is_a_finite_number(problem_type, labels):
    task = task_for(problem_type, num_outputs=2)
    assert np.isfinite(task.mean_loss(np.array([[1e4, -1e4]], dtype=np.float32), np.array(labels)))


def test_labels_are_stacked_as_the_task_needs_them():
    several = task_for(MULTI, num_outputs=3)
    stacked = several.stack([several.read_label(value) for value in ([2, 0], [], [1, 1])])
    assert stacked.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert several.stack([[], []]).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert task_for(NUMBER, num_outputs=1).stack([1.5, 2.0]).dtype == np.float32


def test_the_report_of_classes_is_what_scikit_learn_says():
    random = np.random.default_rng(0)
    true, logits = random.integers(4, size=100), random.random((100, 3)).astype(np.float32)
    logits = np.pad(logits, ((0, 0), (0, 1)), constant_values=-1)  # class 3 is never answered
    task = task_for(SINGLE, num_outputs=4)
    predicted = logits.argmax(axis=1)
    report = task.report(logits, true, offsets=np.arange(0), guess=1)
    assert report["confusion_matrix"] == reference.confusion_matrix(true, predicted, labels=range(4)).tolist()
    assert_per_class(report, true, predicted)
    assert report["majority_baseline"] == {"label": "1", "accuracy": np.mean(true == 1)}


def test_the_report_of_several_labels_is_what_scikit_learn_says():
    random = np.random.default_rng(0)
    logits = random.normal(size=(80, 3)).astype(np.float32)
    true = (random.random((80, 3)) < 0.3).astype(np.uint8)
    report = task_for(MULTI, num_outputs=3).report(logits, true, offsets=np.arange(0), guess=2)
    assert_per_class(report, true, logits >= 0)
    always = np.tile(np.array([0, 0, 1]), (80, 1))
    assert report["majority_baseline"] == {
        "label": "2",
        "accuracy": reference.accuracy_score(true, always),
        "f1_micro": pytest.approx(reference.f1_score(true, always, average="micro")),
    }
    assert report["labels_per_example"] == {
        "references": true.sum() / 80, "predictions": np.sum(logits >= 0) / 80,
    }  # fmt: skip


def assert_per_class(report, true, predicted):
    columns = reference.precision_recall_fscore_support(
        true, predicted, labels=range(len(report["per_class"])), zero_division=0
    )
    for number, row in enumerate(report["per_class"]):
        assert [row["precision"], row["recall"], row["f1"], row["support"]] == pytest.approx(
            [c[number] for c in columns]
        )


def test_the_report_of_numbers_tells_their_spread_and_what_the_mean_would_score():
    labels = np.array([1, 2, 6], dtype=np.float32)
    report = task_for(NUMBER, num_outputs=1).report(
        np.array([[0.5], [2], [2]], dtype=np.float32), labels, offsets=np.arange(0), guess=2.0
    )
    assert report["num_examples"] == 3
    assert report["references"] == {"min": 1, "max": 6, "mean": 3, "std": pytest.approx(np.std(labels))}
    assert (report["predictions"]["min"], report["predictions"]["max"]) == (0.5, 2)
    assert report["mean_baseline"] == pytest.approx({"value": 2, "mse": 17 / 3, "mae": 5 / 3})


def test_the_best_guess_is_that_of_the_training_split():
    assert task_for(SINGLE, num_outputs=5).guess(np.array([2, 1, 2])) == 2
    assert task_for(MULTI, num_outputs=2).guess(np.array([[1, 1], [0, 1]], dtype=np.uint8)) == 1
    assert task_for(NUMBER, num_outputs=1).guess(np.array([1, 2], dtype=np.float32)) == 1.5


def test_named_sets_are_made_of_known_metrics_of_one_kind_of_problem():
    kinds = {"glue/stsb": NUMBER, "rouge": "sequence_to_sequence"}
    for name, names in METRIC_SETS.items():
        check_fit(names, problem_type=kinds.get(name, SINGLE))
    assert metric_names(["f1", "glue/mrpc"]) == ("f1", "accuracy")
    with pytest.raises(InvalidRequest) as refusal:
        metric_names("bleu")
    assert refusal.value.param == "metrics"


def test_glue_has_a_set_for_each_of_its_tasks():
    tasks = {"cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli"}
    assert {f"glue/{task}" for task in tasks} <= METRIC_SETS.keys()
    assert metric_names("glue/stsb") == ("pearson", "spearmanr")
    assert metric_names("glue/cola") == ("matthews_correlation",)


def test_other_names_of_a_metric_are_the_same_metric():
    assert metric_names([*ALIASES]) == tuple(ALIASES.values())


def test_losses_are_better_when_smaller():
    names = ("loss", "mse", "rmse", "mae", "f1", "f1_micro", "pearson", "roc_auc")
    assert [is_greater_better(name) for name in names] == [False] * 4 + [True] * 4
