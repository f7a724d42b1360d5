"""Token classification: from words and tags, or texts and spans, to a model that is served as it was measured."""

import json
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from seqeval import metrics as reference
from transformers import AutoModelForTokenClassification, AutoTokenizer

from app.errors import InvalidData, InvalidRequest
from app.spec.messages import ResolvedMessage
from app.spec.run import ExitCode
from app.spec.words import split_words
from tests.trainer.conftest import BAD, GOOD, NEUTRAL, TRAIN_FILE, write_jsonl
from worker.predictor.engine import LoadedModel
from worker.predictor.entities import find_entities
from worker.trainer.metrics import Metrics
from worker.trainer.tasks.token_classification import tags_of_spans
from worker.trainer.tokens import tokenize

LEARNS = {"num_train_epochs": 25, "learning_rate": 3e-3, "eval_strategy": "no", "save_strategy": "no"}


def tagged(count, *, seed):
    """Runs of praise and of blame among neutral words."""
    chooser = random.Random(seed)
    rows = []
    for _ in range(count):
        tokens, tags = [], []
        for _ in range(chooser.randint(1, 4)):
            for word in chooser.choices(NEUTRAL, k=chooser.randint(1, 3)):
                tokens.append(word)
                tags.append("O")
            kind, words = chooser.choice([("praise", GOOD), ("blame", BAD)])
            for number in range(chooser.randint(1, 3)):
                tokens.append(chooser.choice(words))
                tags.append(f"{'I' if number else 'B'}-{kind}")
        rows.append({"tokens": tokens, "ner_tags": tags})
    return rows


def as_spans(rows):
    found = []
    for row in rows:
        text = " ".join(row["tokens"])
        places = np.cumsum([0, *(len(word) + 1 for word in row["tokens"])])
        entities = [
            {"start": int(places[first]), "end": int(places[behind]) - 1, "label": kind}
            for kind, first, behind in find_entities(row["ner_tags"])
        ]
        found.append({"text": text, "entities": entities})
    return found


@pytest.fixture
def tagger(lab):
    lab.files = {
        "train": write_jsonl(lab.home / "tagged.jsonl", tagged(80, seed=0)),
        "validation": write_jsonl(lab.home / "more.jsonl", tagged(30, seed=1)),
    }
    return lab


@pytest.mark.parametrize("bf16", [False, True])
def test_it_learns_and_serves_what_it_measured(tagger, bf16):
    attempt = tagger.run(**LEARNS, bf16=bf16)
    result, spec = attempt.result, attempt.all_of(ResolvedMessage)[-1].spec
    assert (spec.task, spec.problem_type, spec.metrics) == (
        "token-classification", "token_classification", ["f1", "precision", "recall", "accuracy"],
    )  # fmt: skip
    assert spec.training.metric_for_best_model == "f1"
    assert result.metrics["eval/f1"] > 0.8
    assert {entry["label"] for entry in result.report["per_class"]} == {"praise", "blame"}
    model = LoadedModel.load(attempt.folder / "model")
    rows = tagged(30, seed=1)
    predicted = [predict(model, row["tokens"]) for row in rows]
    references = [row["ner_tags"] for row in rows]
    assert reference.f1_score(references, predicted) == pytest.approx(result.metrics["eval/f1"], abs=1e-9)
    assert reference.accuracy_score(references, predicted) == pytest.approx(result.metrics["eval/accuracy"], abs=1e-9)


def predict(model, words):
    """The tag of each word; O for those that the model does not see."""
    text = " ".join(words)
    spans = [
        (sum(len(w) + 1 for w in words[:n]), sum(len(w) + 1 for w in words[: n + 1]) - 1) for n in range(len(words))
    ]
    rows = model.forward(model.encode([(text, None)], words=[spans]))
    return ["O" if np.isnan(row).any() else model.spec.labels[row.argmax()] for row in rows]


def test_transformers_own_classes_answer_the_same(tagger):
    attempt = tagger.run(**LEARNS)
    folder = attempt.folder / "model"
    tokenizer, theirs = AutoTokenizer.from_pretrained(folder), AutoModelForTokenClassification.from_pretrained(folder)
    ours = LoadedModel.load(folder)
    for row in tagged(5, seed=2):
        inputs = tokenizer(row["tokens"], is_split_into_words=True, return_tensors="pt")
        words = inputs.word_ids()
        first = [words.index(number) for number in range(len(row["tokens"]))]
        with torch.no_grad():
            expected = theirs(**inputs).logits[0, first].argmax(-1)
        assert predict(ours, row["tokens"]) == [theirs.config.id2label[int(tag)] for tag in expected]


def test_spans_train_the_same_model_as_the_tags_they_stand_for(tagger):
    tags = tagger.run(num_train_epochs=1, spec={"label_names": ["O", "B-blame", "I-blame", "B-praise", "I-praise"]})
    for name, rows in (("train", tagged(80, seed=0)), ("validation", tagged(30, seed=1))):
        tagger.files[name] = write_jsonl(tagger.home / f"spans-{name}.jsonl", as_spans(rows))
    spans = tagger.run(num_train_epochs=1)
    assert spans.result.metrics == tags.result.metrics
    assert (
        load_file(spans.folder / "model" / "model.safetensors").keys()
        == load_file(tags.folder / "model" / "model.safetensors").keys()
    )
    assert spans.weights == tags.weights


def test_a_run_that_was_stopped_ends_with_the_same_weights(tagger):
    options = {"num_train_epochs": 2, "gradient_accumulation_steps": 2}
    whole = tagger.run(**options)
    stopped = tagger.run_until(3, **options)
    assert stopped.code is ExitCode.DRAINED
    assert tagger.run(checkpoints=stopped.checkpoints, **options).weights == whole.weights


def test_the_loss_is_a_mean_over_the_words_of_a_step_however_it_is_cut(tagger):
    losses = [
        tagger.run(
            max_steps=3, per_device_train_batch_size=size, gradient_accumulation_steps=8 // size, logging_steps=1
        ).points("train/loss")
        for size in (8, 4, 2)
    ]
    for other in losses[1:]:
        assert other.keys() == losses[0].keys()
        assert other[1] == pytest.approx(losses[0][1], rel=0.05)  # but for dropout


def test_words_that_are_cut_off_are_answered_with_o_and_count_as_missed(tagger):
    attempt = tagger.run(**LEARNS, max_length=4)
    assert attempt.result.report["num_words"] == sum(len(row["tokens"]) for row in tagged(30, seed=1))
    assert attempt.result.metrics["eval/recall"] < 0.5
    model = LoadedModel.load(attempt.folder / "model")
    assert predict(model, [*GOOD, *BAD])[2:] == ["O"] * 10


def test_a_part_of_the_training_rows_is_set_aside(tagger):
    del tagger.files["validation"]
    attempt = tagger.run(num_train_epochs=1)
    assert attempt.result.report["num_examples"] == 8


@pytest.mark.parametrize(
    ("entities", "code"),
    [
        ([{"start": 0, "end": 99, "label": "praise"}], "invalid_span"),
        ([{"start": 4, "end": 4, "label": "praise"}], "invalid_span"),
        ([{"start": 3, "end": 4, "label": "praise"}], "invalid_span"),
        ([{"start": 0, "end": 3, "label": "praise"}, {"start": 1, "end": 8, "label": "blame"}], "overlapping_spans"),
        ([{"start": 0, "end": 3, "label": "praise"}, {"start": 0, "end": 3, "label": "blame"}], "overlapping_spans"),
    ],
)
def test_a_span_that_does_not_fit_its_text_is_named_before_training(tagger, entities, code):
    good = as_spans(tagged(80, seed=0))
    for name in ("train", "validation"):
        tagger.files[name] = write_jsonl(tagger.home / f"spans-{name}.jsonl", good)
    tagger.files["train"] = write_jsonl(tagger.home / "bad.jsonl", [*good, {"text": "the film", "entities": entities}])
    with pytest.raises(InvalidData, match="Row 81 of the train split") as refused:
        tagger.run()
    assert refused.value.code == code


def test_the_metrics_are_those_of_seqeval(tmp_path):
    names = ("f1", "precision", "recall", "f1_macro", "accuracy")
    metrics = Metrics(names, problem_type="token_classification", num_labels=5, cache_dir=tmp_path)
    chooser = random.Random(3)
    tags = ["O", "B-x", "I-x", "B-y", "I-y"]
    for _ in range(5):
        rows = [chooser.choices(tags, k=chooser.randint(1, 9)) for _ in range(20)]
        answers = [[tag if chooser.random() < 0.7 else chooser.choice(tags) for tag in row] for row in rows]
        found = metrics.compute(predictions=answers, scores=np.zeros((1, 5)), references=rows)
        assert found == pytest.approx({
            "f1": reference.f1_score(rows, answers),
            "precision": reference.precision_score(rows, answers),
            "recall": reference.recall_score(rows, answers),
            "f1_macro": reference.f1_score(rows, answers, average="macro"),
            "accuracy": reference.accuracy_score(rows, answers),
        })  # fmt: skip


def test_tokens_of_words_are_kept_and_read_again(tagger, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tagger.model)
    texts, words = ["the film", "grim plot felt"], [[(0, 3), (4, 8)], [(0, 4), (5, 9), (10, 14)]]
    made, read = (tokenize(tokenizer, texts, None, words=words, max_length=4, cache_dir=tmp_path) for _ in range(2))
    assert json.dumps(made.words.first_tokens.tolist()) == "[1, 2, 1, 2, -1]"
    assert np.array_equal(read.words.first_tokens, made.words.first_tokens)
    assert np.array_equal(read.words.offsets, [0, 2, 5])
    assert tokenize(tokenizer, texts, None, max_length=4, cache_dir=tmp_path).words is None


def test_spans_give_each_word_its_tag():
    text = "The Paris-Rome train of 李明"
    spans = [
        {"start": 10, "end": 14, "label": "to"},
        {"start": 4, "end": 9, "label": "from"},
        {"start": 4, "end": 9, "label": "from"},
        {"start": 24, "end": 26, "label": "driver"},
    ]
    tags = tags_of_spans(text, split_words(text), spans)
    assert tags == ["O", "B-from", "O", "B-to", "O", "O", "B-driver", "I-driver"]


def test_words_cut_off_are_never_right_where_no_tag_means_outside(lab):
    rows = [{"tokens": ["the", "film", "was", "fine"], "tags": ["DET", "NOUN", "VERB", "DET"]}] * 30
    lab.files = {name: write_jsonl(lab.home / f"{name}-pos.jsonl", rows) for name in ("train", "validation")}
    attempt = lab.run(num_train_epochs=15, learning_rate=5e-3, max_length=4, eval_strategy="no", save_strategy="no")
    assert attempt.result.metrics["eval/accuracy"] == pytest.approx(0.5)
    assert attempt.result.metrics["eval/recall"] == pytest.approx(0.5)


def test_rows_set_aside_have_words_and_leave_every_tag_to_training(lab):
    rows = [{"tokens": ["the", "film"], "tags": ["O", f"B-rare{number % 6}"]} for number in range(12)]
    rows += [{"tokens": [], "tags": []}] * 30
    lab.files = {"train": write_jsonl(lab.home / "rare.jsonl", rows)}
    attempt = lab.run(spec={"dataset": {"train": TRAIN_FILE, "validation": 0.5}}, num_train_epochs=1)
    assert attempt.result.report["num_words"] == 2 * attempt.result.report["num_examples"] <= 12
    lab.files = {"train": write_jsonl(lab.home / "empty.jsonl", rows[:1] + rows[12:])}
    with pytest.raises(InvalidData, match="too few rows with words"):
        lab.run(num_train_epochs=1, spec={"label_names": ["O", "B-rare0"]})


@pytest.mark.parametrize("weights", [{"praise": 5.0}, {"B-praise": 5.0, "I-praise": 5.0}])
def test_weights_may_name_kinds_or_tags(tagger, weights):
    plain, weighted = (tagger.run(num_train_epochs=1, **options) for options in ({}, {"class_weights": weights}))
    assert weighted.weights != plain.weights
    with pytest.raises(InvalidRequest, match="'joy' is none of the labels"):
        tagger.run(class_weights={"joy": 2.0})
