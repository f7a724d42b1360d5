"""ROUGE against the package rouge_score, and exact match by hand."""

import random

import pytest
from rouge_score.rouge_scorer import RougeScorer

from app.errors import InvalidRequest
from app.spec.metrics import WRITTEN, check_fit, is_greater_better, metric_names
from worker.trainer.metrics import Metrics

NAMES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
PIECES = [
    "the",
    "The",
    "cat",
    "cat's",
    "sat",
    "on",
    "mat.",
    "MAT",
    "a",
    "3",
    "3.5",
    "naïve",
    "İstanbul",
    "猫",
    "-",
    "--",
    "x_y",
]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    return Metrics(WRITTEN, problem_type="sequence_to_sequence", num_labels=0, cache_dir=tmp_path_factory.mktemp("e"))


def texts(count, *, seed):
    """Few words, so that much is shared; lines, blank ones among them, and texts without any word."""
    chooser = random.Random(seed)
    for _ in range(count):
        lines = [
            " ".join(chooser.choices(PIECES, k=chooser.randint(0, 9))) for _ in range(chooser.choice([0, 1, 1, 2, 4]))
        ]
        yield "\n".join(lines)


def test_rouge_is_that_of_the_reference_package(metrics):
    scorer = RougeScorer(NAMES, use_stemmer=False)
    written, answers = list(texts(300, seed=1)), list(texts(300, seed=2))
    means = dict.fromkeys(NAMES, 0.0)
    for one, other in zip(written, answers, strict=True):
        expected = {name: score.fmeasure for name, score in scorer.score(other, one).items()}
        found = metrics.compute_texts([one], [other])
        assert {name: found[name] for name in NAMES} == pytest.approx(expected, abs=1e-12), (one, other)
        means = {name: mean + expected[name] / len(written) for name, mean in means.items()}
    assert min(means.values()) > 0.03
    found = metrics.compute_texts(written, answers)
    assert {name: found[name] for name in NAMES} == pytest.approx(means, abs=1e-12)


def test_texts_as_long_as_summaries_are(metrics):
    chooser = random.Random(3)
    one, other = ("\n".join(" ".join(chooser.choices("abcdefgh", k=60)) for _ in range(6)) for _ in range(2))
    expected = RougeScorer(NAMES).score(other, one)
    found = metrics.compute_texts([one], [other])
    assert [found[name] for name in NAMES] == pytest.approx([expected[name].fmeasure for name in NAMES], abs=1e-12)


def test_a_match_is_exact_but_for_white_space_at_the_ends(metrics):
    written = [" Paris", "paris", "Paris.", "New  York", "", "東京\n"]
    answers = ["Paris ", "Paris", "Paris", "New York", " ", "東京"]
    assert metrics.compute_texts(written, answers)["exact_match"] == pytest.approx(3 / 6)


def test_only_what_was_asked_for_is_told(tmp_path):
    some = Metrics(["accuracy", "rougeL"], problem_type="sequence_to_sequence", num_labels=0, cache_dir=tmp_path)
    assert some.of_texts == ("rougeL",)
    assert some.compute_texts(["a b"], ["a c"]) == {"rougeL": pytest.approx(0.5)}


def test_the_set_and_what_it_fits():
    assert metric_names("rouge") == tuple(NAMES)
    assert all(map(is_greater_better, WRITTEN))
    for problem_type in ("sequence_to_sequence", "language_modeling"):
        check_fit(WRITTEN, problem_type=problem_type)
    with pytest.raises(InvalidRequest, match="rougeL"):
        check_fit(("rougeL",), problem_type="single_label_classification")
