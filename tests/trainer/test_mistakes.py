"""What is told of wrong answers: which, in what order, with how much of the text."""

import numpy as np
import pytest

from app.dataset.resolved import ResolvedData
from app.spec.messages import MistakesMessage
from app.spec.mistakes import MAX_TEXT_CHARS, EntityPlace
from tests.trainer.conftest import TRAIN_FILE, reviews, task_for, write_jsonl
from worker.trainer.examples import Examples
from worker.trainer.mistakes import MAX_KEPT, NUM_WORST, cut, worst
from worker.trainer.tasks import task_of


def logits_of(*scores):
    return np.log(np.array(scores, dtype=np.float32))


def examples(labels, **options):
    return Examples(texts=[f"text {n}" for n in range(len(labels))], pairs=None, labels=np.array(labels), **options)


def test_wrong_classes_come_with_their_scores_the_most_certain_first():
    logits = logits_of([0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.05, 0.95])
    found = task_for("single_label_classification", num_outputs=2).mistakes(logits, examples([0, 1, 1, 0]))
    assert found.num_wrong == 2
    first, second = found.kept
    assert (first.row, first.text, first.label, first.predicted, first.missed, first.wrong) == (
        4, "text 3", "0", "1", ["0"], ["1"],
    )  # fmt: skip
    assert (round(first.score, 3), round(first.label_score, 3), round(second.score, 3)) == (0.95, 0.05, 0.6)


def test_labels_that_are_missed_and_given_wrongly_are_told_apart():
    logits = np.array([[5.0, -5.0, 1.0], [5.0, -5.0, -5.0], [-0.5, 4.0, -5.0]], dtype=np.float32)
    labels = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0]], dtype=np.uint8)
    found = task_for("multi_label_classification", num_outputs=3).mistakes(logits, examples(labels))
    assert found.num_wrong == 2
    first, second = found.kept
    assert (first.row, first.label, first.predicted, first.missed, first.wrong) == (
        1,
        ["0", "1"],
        ["0", "2"],
        ["1"],
        ["2"],
    )
    assert (second.row, second.missed, second.wrong) == (3, ["0"], ["1"])
    assert first.score > second.score > 0.98


def test_of_numbers_the_largest_errors_are_told():
    logits = np.array([[1.0], [5.0], [2.0]], dtype=np.float32)
    found = task_for("regression", num_outputs=1).mistakes(
        logits, examples(np.array([1.5, 1.0, 4.0], dtype=np.float32))
    )
    assert found.num_wrong is None
    assert [(mistake.row, mistake.error) for mistake in found.kept] == [(2, 4.0), (3, -2.0), (1, -0.5)]


def test_of_tags_the_entities_are_told_that_are_missing_or_too_many():
    names = ["O", "B-person", "I-person", "B-place"]
    task = task_of(ResolvedData(
        task="token-classification", problem_type="token_classification", text="tokens", text_pair=None, label="tags",
        label_names=names, label_values=list(names), has_test=False,
    ))  # fmt: skip
    words = [[(0, 3), (4, 12), (13, 15), (16, 20)], [(0, 2)]]
    split = Examples(
        texts=["Ada Lovelace in Rome", "no"], pairs=None, labels=np.array([1, 2, 0, 3, 0]), words=words,
        offsets=np.array([0, 4, 5]),
    )  # fmt: skip
    answered = [1, 0, 0, 3, 0]
    logits = logits_of(*(np.where(np.arange(4) == tag, 0.7, 0.1) for tag in answered))
    found = task.mistakes(logits, split)
    assert found.num_wrong == 1
    (mistake,) = found.kept
    assert mistake.label == [EntityPlace(entity_group="person", word="Ada Lovelace", start=0, end=12)]
    (wrong,) = mistake.predicted
    assert (wrong.word, wrong.start, wrong.end, round(wrong.score, 3)) == ("Ada", 0, 3, 0.7)
    assert (mistake.missed, mistake.wrong) == (["person"], ["person"])


def test_every_kind_of_mistake_is_kept_once_however_certain_others_are():
    severity = np.linspace(1, 0, 1000)
    kinds = ["common"] * 995 + ["rare", "rare", "odd", "common", "odd"]
    kept = worst(severity, kinds)
    assert kept == [*range(NUM_WORST), 995, 997]
    assert len(worst(severity, list(range(1000)))) == MAX_KEPT
    assert worst(np.array([]), []) == []


def test_long_texts_are_cut_around_what_must_be_seen():
    text = "".join(chr(97 + n % 26) for n in range(5000))
    assert cut(text[:MAX_TEXT_CHARS]) == text[:MAX_TEXT_CHARS]
    assert cut(text) == text[:MAX_TEXT_CHARS] + "…"
    assert cut(text, start=2600) == "…" + text[2600 : 2600 + MAX_TEXT_CHARS] + "…"


@pytest.mark.parametrize("validation", ["file", 0.3])
def test_a_run_tells_what_its_model_gets_wrong_in_each_split(lab, validation):
    rows = {"train": reviews(60), "validation": reviews(30, seed=1), "test": reviews(20, seed=2)}
    lab.files = {name: write_jsonl(lab.home / f"{name}.jsonl", rows[name]) for name in rows}
    spec = {}
    if validation == 0.3:
        del lab.files["validation"]
        spec = {"dataset": {"train": TRAIN_FILE, "validation": 0.3, "test": f"file-{'3' * 32}"}}
    attempt = lab.run(spec=spec, num_train_epochs=1, learning_rate=1e-5)
    told = {message.split: message for message in attempt.all_of(MistakesMessage)}
    assert told.keys() == {"validation", "test"}
    report = attempt.result.report
    for name, part in (("validation", report), ("test", report["test"])):
        message = told[name]
        assert message.rows_of == ("train" if name == "validation" and validation == 0.3 else name)
        assert message.num_wrong == round(message.num_examples * (1 - part["metrics"]["accuracy"])) > 0
        of_file = rows[message.rows_of]
        for mistake in message.mistakes:
            row = of_file[mistake.row - 1]
            assert (row["text"], row["label"]) == (mistake.text, mistake.label)
            assert mistake.predicted != mistake.label
    assert MistakesMessage.model_validate_json(told["test"].model_dump_json()) == told["test"]
