"""Exact match and F1 of answers, against cases worked by hand and a second implementation that counts otherwise."""

import random
import string

import pytest

from app.spec.metrics import METRICS
from worker.trainer.answer_report import answer_report, first_sentence
from worker.trainer.answer_scores import normalized, score_answers
from worker.trainer.metrics import Metrics

BY_HAND = [
    ("Rome", ["Rome"], 1, 1),
    ("the Rome.", ["rome"], 1, 1),
    ("Rome, Italy", ["Rome"], 0, 2 / 3),
    ("Rome", ["Paris", "Rome in Italy"], 0, 1 / 2),
    ("Rome", ["Paris", "in Rome", "Rome"], 1, 1),
    ("Paris", ["Rome"], 0, 0),
    ("very very good", ["very good"], 0, 4 / 5),
    ("", [], 1, 1),
    ("Rome", [], 0, 0),
    ("", ["Rome"], 0, 0),
    ("the", ["a"], 1, 1),
    ("the", ["a", "Rome"], 0, 0),
    ("an apple a day", ["Apple day"], 1, 1),
    ("U.S.A.", ["USA"], 1, 1),
    ("theatre", ["atre"], 0, 0),
    ("Zürich  \n 1871", ["zürich 1871"], 1, 1),
]
"""Prediction, references, exact match, F1."""


@pytest.mark.parametrize(("prediction", "references", "exact", "f1"), BY_HAND)
def test_cases_worked_by_hand(prediction, references, exact, f1):
    scores = score_answers([prediction], [references])
    assert (scores.exact[0], scores.f1[0]) == pytest.approx((exact, f1))


def test_the_metrics_are_means_in_per_cent(tmp_path):
    problem = "extractive_question_answering"
    metrics = Metrics(METRICS[problem], problem_type=problem, num_labels=2, cache_dir=tmp_path)
    predictions, references, exact, f1 = zip(*BY_HAND, strict=True)
    found = metrics.compute(predictions=list(predictions), scores=[], references=list(references))
    assert found == pytest.approx({
        "squad_exact_match": 100 * sum(exact) / len(exact), "squad_f1": 100 * sum(f1) / len(f1),
    })  # fmt: skip


def test_a_second_implementation_says_the_same():
    chooser = random.Random(0)
    words = ["the", "a", "an", "Rome", "rome", "Rome,", "in", "I-taly", "Italy", "'twas", "theatre", "", " ", "ante"]
    texts = [" ".join(chooser.choices(words, k=chooser.randint(0, 5))) for _ in range(400)]
    references = [[chooser.choice(texts) for _ in range(chooser.randint(0, 3))] for _ in texts]
    scores = score_answers(texts, references)
    for text, right, exact, f1 in zip(texts, references, scores.exact, scores.f1, strict=True):
        known = [words_of(reference) for reference in right if words_of(reference)] or [[]]
        assert exact == (words_of(text) in known)
        assert f1 == pytest.approx(max(overlap(words_of(text), reference) for reference in known))


def words_of(text):
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return [word for word in kept.split() if word not in {"a", "an", "the"}]


def overlap(found, right):
    if not found or not right:
        return int(found == right)
    left, shared = list(right), 0
    for word in found:
        if word in left:
            left.remove(word)
            shared += 1
    if shared == 0:
        return 0
    precision, recall = shared / len(found), shared / len(right)
    return 2 * precision * recall / (precision + recall)


def test_articles_are_words_of_their_own():
    assert normalized("The theatre, and an ant: a-b") == "theatre and ant ab"


def test_the_report_parts_questions_with_and_without_an_answer():
    report = answer_report(
        ["Rome", "Rome", "", "in Italy"],
        [["Rome"], [], [], ["Italy"]],
        questions=["Where?", "When?", "Why?", "And where?"],
        contexts=["Italy. Rome is there.", "Rome.", "Rome.", "Italy! Or not."],
    )
    assert report["has_answer"] == {"num_examples": 2, "squad_exact_match": 50, "squad_f1": pytest.approx(500 / 6)}
    assert report["no_answer"] == {"num_examples": 2, "squad_exact_match": 50, "squad_f1": 50}
    assert report["no_answer_baseline"] == {"squad_exact_match": 50, "squad_f1": 50}
    assert report["first_sentence_baseline"] == {"squad_exact_match": 25, "squad_f1": 25}
    assert [(item["question"], item["f1"]) for item in report["wrong_answers"]] == [
        ("When?", 0),
        ("And where?", pytest.approx(200 / 3)),
    ]


def test_a_first_sentence_ends_at_a_mark_or_a_line():
    assert first_sentence(" Rome fell. Then what?") == "Rome fell."
    assert first_sentence("Version 2.1 is out\nIt is new.") == "Version 2.1 is out"
    assert first_sentence("all of it") == "all of it"
