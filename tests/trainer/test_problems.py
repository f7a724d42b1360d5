"""Several labels a row, and numbers: from the data to a model that is served as it was measured."""

import json
import random

import datasets
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoTokenizer,
    BertForSequenceClassification,
    pipeline,
)

from app.dataset.read_parquet import parquet_class_names
from app.errors import InvalidData, InvalidRequest
from app.spec.messages import ResolvedMessage, WarningMessage
from app.spec.serving import ServingSpec
from tests.trainer.conftest import BAD, GOOD, NEUTRAL, Attempt, write_jsonl
from worker.predictor.decode import label_scores
from worker.predictor.engine import LoadedModel
from worker.trainer.hub_data import class_names_of
from worker.trainer.splitting import random_split

MULTI, NUMBER, SINGLE = "multi_label_classification", "regression", "single_label_classification"


def opinions(count, *, seed):
    """A text may praise, blame, do both or neither; ``stars`` goes up and down with the words."""
    chooser = random.Random(seed)
    rows = []
    for number in range(count):
        praise, blame = number % 2, number // 2 % 2
        words = chooser.choices(NEUTRAL, k=4) + [chooser.choice(GOOD)] * praise + [chooser.choice(BAD)] * blame
        chooser.shuffle(words)
        labels = ["blame"] * blame + ["praise"] * praise
        rows.append({"text": " ".join(words), "labels": labels, "stars": 2.5 + 1.5 * praise - 1.5 * blame})
    return rows


LEARNS = {"num_train_epochs": 25, "learning_rate": 2e-3, "seed": 4}
"""So small a model does not learn it from every start."""


@pytest.fixture
def opinionated(lab):
    lab.files = {
        "train": write_jsonl(lab.home / "opinions.jsonl", opinions(120, seed=0)),
        "validation": write_jsonl(lab.home / "more.jsonl", opinions(40, seed=1)),
    }
    return lab


@pytest.fixture
def run(opinionated):
    """Trains on a column of the opinions, as some kind of problem."""

    def start(label="labels", *, checkpoints=(), spec=None, **training):
        job = {"columns": {"text": "text", "label": label}} | (spec or {})
        return opinionated.run(spec=job, checkpoints=list(checkpoints), **(LEARNS | training))

    return start


def spec_of(attempt: Attempt):
    return attempt.all_of(ResolvedMessage)[0].spec


def served(attempt: Attempt) -> ServingSpec:
    return ServingSpec.model_validate_json((attempt.folder / "model" / "tunery.json").read_text())


def test_several_labels_a_row_are_learned_reported_and_served(run):
    attempt = run(spec={"label_names": ["praise", "blame"]})
    metrics, report = attempt.result.metrics, attempt.result.report
    assert (spec_of(attempt).problem_type, served(attempt).labels) == (MULTI, ["praise", "blame"])
    assert {"eval/loss", "eval/f1_micro", "eval/f1_macro", "eval/accuracy"} == metrics.keys()
    assert metrics["eval/f1_micro"] > 0.95 > report["majority_baseline"]["f1_micro"]
    assert [row["support"] for row in report["per_class"]] == [20, 20]
    assert report["labels_per_example"]["references"] == 1.0

    model = LoadedModel.load(attempt.folder / "model")
    rows = opinions(40, seed=1)
    logits = model.logits([(row["text"], None) for row in rows])
    chosen = label_scores(logits, labels=model.spec.labels, function_to_apply="sigmoid", threshold=0.5)
    right = [sorted(label for label, _ in found) == row["labels"] for found, row in zip(chosen, rows, strict=True)]
    assert np.mean(right) == metrics["eval/accuracy"]


def test_numbers_are_learned_reported_and_served(run):
    attempt = run("stars")
    metrics, report = attempt.result.metrics, attempt.result.report
    assert (spec_of(attempt).problem_type, spec_of(attempt).label_names) == (NUMBER, ["score"])
    assert {"eval/loss", "eval/pearson", "eval/spearmanr", "eval/mse", "eval/mae"} == metrics.keys()
    assert metrics["eval/pearson"] > 0.9
    assert metrics["eval/mse"] == pytest.approx(metrics["eval/loss"], rel=1e-6)
    assert metrics["eval/mse"] < report["mean_baseline"]["mse"] / 3
    assert report["references"]["mean"] == 2.5

    model = LoadedModel.load(attempt.folder / "model")
    rows = opinions(40, seed=1)
    found = model.logits([(row["text"], None) for row in rows])[:, 0]
    assert np.square(found - [row["stars"] for row in rows]).mean() == pytest.approx(metrics["eval/mse"], rel=1e-5)


@pytest.mark.parametrize(("label", "problem_type"), [("labels", MULTI), ("stars", NUMBER)])
def test_the_model_is_used_the_same_way_by_transformers_itself(run, label, problem_type):
    attempt = run(label, num_train_epochs=2)
    folder = attempt.folder / "model"
    assert served(attempt).problem_type == problem_type
    assert json.loads((folder / "config.json").read_text())["problem_type"] == problem_type
    tokenizer = AutoTokenizer.from_pretrained(folder)
    classify = pipeline(
        "text-classification",
        model=BertForSequenceClassification.from_pretrained(folder), tokenizer=tokenizer, top_k=None, device="cpu",
    )  # fmt: skip
    model = LoadedModel.load(folder)
    function = {MULTI: "sigmoid", NUMBER: "none"}[problem_type]
    (ours,) = label_scores(
        model.logits([("the film was lovely", None)]), labels=model.spec.labels, function_to_apply=function
    )
    (theirs,) = classify(["the film was lovely"])
    assert dict(ours) == pytest.approx({found["label"]: found["score"] for found in theirs}, abs=1e-5)


@pytest.mark.parametrize("label", ["labels", "stars"])
def test_a_resumed_run_ends_with_the_same_weights(opinionated, label):
    options = {"spec": {"columns": {"text": "text", "label": label}}, "num_train_epochs": 2}
    whole = opinionated.run(**options)
    first = opinionated.run_until(9, **options)
    assert opinionated.run(checkpoints=first.checkpoints, **options).weights == whole.weights


@pytest.mark.parametrize("label", ["labels", "stars"])
def test_a_split_of_ones_own_is_set_aside(opinionated, label):
    del opinionated.files["validation"]
    attempt = opinionated.run(spec={"columns": {"text": "text", "label": label}}, num_train_epochs=1)
    assert attempt.result.report["num_examples"] == 12


def test_a_random_split_is_complete_and_a_function_of_the_seed():
    train, validation = random_split(50, fraction=0.2, seed=1)
    assert sorted([*train, *validation]) == list(range(50))
    assert len(validation) == 10
    assert validation.tolist() == random_split(50, fraction=0.2, seed=1)[1].tolist()
    assert validation.tolist() != random_split(50, fraction=0.2, seed=2)[1].tolist()
    assert [len(part) for part in random_split(2, fraction=0.89, seed=0)] == [1, 1]


@pytest.mark.parametrize("seed", range(5))
def test_every_label_keeps_an_example_for_training(seed):
    shown = np.zeros((40, 4), dtype=np.uint8)
    shown[:, 0] = 1
    shown[[3, 4], [1, 2]] = 1
    shown[[5, 6], 3] = 1
    train, validation = random_split(40, fraction=0.5, seed=seed, needed=shown)
    assert shown[train].any(axis=0).all()
    assert 16 <= len(validation) <= 20


def test_rows_that_are_each_the_only_one_of_a_label_cannot_be_split():
    with pytest.raises(InvalidData) as refusal:
        random_split(3, fraction=0.3, seed=0, needed=np.eye(3, dtype=np.uint8))
    assert refusal.value.code == "too_few_examples"


def test_label_smoothing_is_refused_where_it_means_nothing(run):
    with pytest.raises(InvalidRequest) as refusal:
        run("stars", label_smoothing_factor=0.1)
    assert refusal.value.param == "training.label_smoothing_factor"


def test_whole_numbers_can_be_a_regression_with_a_name(run, opinionated):
    rows = [{"text": row["text"], "stars": round(row["stars"] + 0.5)} for row in opinions(40, seed=0)]
    opinionated.files = {"train": write_jsonl(opinionated.home / "whole.jsonl", rows)}
    attempt = run("stars", spec={"problem_type": NUMBER, "label_names": ["stars"]}, num_train_epochs=1)
    assert served(attempt).labels == ["stars"]


def weights_of(attempt):
    return load_file(attempt.folder / "model" / "model.safetensors")


def head_of(attempt):
    return weights_of(attempt)["classifier.weight"]


def warnings_of(attempt):
    return {message.code: message.message for message in attempt.all_of(WarningMessage)}


STANDSTILL = {"learning_rate": 1e-12, "num_train_epochs": 1}
"""Ends with the weights that it began with."""


@pytest.fixture
def finished(run, opinionated):
    """A model of ``blame`` and ``praise`` is what the next job starts from."""
    attempt = run(num_train_epochs=4)
    opinionated.model = attempt.folder / "model"
    return attempt


def test_a_model_with_the_same_labels_goes_on_with_its_head(run, finished):
    attempt = run(**STANDSTILL)
    assert {"new_head", "new_weights"} & warnings_of(attempt).keys() == set()
    torch.testing.assert_close(head_of(attempt), head_of(finished), atol=1e-6, rtol=0)
    assert attempt.result.metrics == pytest.approx(finished.result.metrics, abs=1e-4)


@pytest.mark.parametrize(
    ("label", "spec"),
    [
        ("labels", {"label_names": ["praise", "blame"]}),
        ("labels", {"label_names": ["blame", "praise", "neither"]}),
        ("stars", {}),
    ],
    ids=["other order", "one more", "another problem"],
)
def test_a_model_with_other_labels_gets_a_new_head_and_keeps_the_rest(run, finished, label, spec):
    attempt = run(label, spec=spec, **STANDSTILL)
    warnings = warnings_of(attempt)
    assert "blame, praise" in warnings["new_head"]
    assert "new_weights" not in warnings
    old, new = weights_of(finished), weights_of(attempt)
    for name in old:
        if not name.startswith("classifier."):
            torch.testing.assert_close(new[name], old[name], atol=1e-6, rtol=0)
    assert new["classifier.weight"].std() == pytest.approx(0.02, rel=0.5)
    rows = min(len(new["classifier.weight"]), 2)
    assert (new["classifier.weight"][:rows] - old["classifier.weight"][:rows]).abs().max() > 0.01
    again = run(label, spec=spec, **STANDSTILL)
    assert again.weights == attempt.weights


def test_class_names_of_lists_are_those_that_datasets_declares(tmp_path):
    names = datasets.ClassLabel(names=["joy", "anger"])
    features = datasets.Features({"labels": datasets.Sequence(names), "label": names})
    table = datasets.Dataset.from_dict({"labels": [[0, 1], []], "label": [0, 1]}, features=features)
    table.to_parquet(tmp_path / "data.parquet")
    expected = {"labels": ["joy", "anger"], "label": ["joy", "anger"]}
    assert parquet_class_names(tmp_path / "data.parquet") == expected
    assert class_names_of(table) == expected
