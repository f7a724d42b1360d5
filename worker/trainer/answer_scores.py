"""How right answers to questions are, as the evaluation of SQuAD defines it (Rajpurkar et al., 2016 and 2018)."""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

_ARTICLE: Final = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, kw_only=True)
class AnswerScores:
    """Of each question, each ``[n]`` from 0 to 1."""

    exact: np.ndarray
    f1: np.ndarray

    def in_per_cent(self, chosen: np.ndarray | None = None) -> dict[str, float]:
        """Means over the ``chosen`` questions, by default all; 0 if there are none."""
        chosen = np.ones(len(self.exact), dtype=bool) if chosen is None else chosen
        count = max(1, int(chosen.sum()))
        return {
            name: 100 * float(values[chosen].sum()) / count
            for name, values in (("exact_match", self.exact), ("f1", self.f1))
        }


def score_answers(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> AnswerScores:
    """Each prediction beside the reference that fits it best; of a question without one the empty answer is right.

    References of articles and punctuation alone are left out, as in SQuAD 2.0.
    """
    pairs = [
        (prediction, [text for text in texts if normalized(text)] or [""])
        for prediction, texts in zip(predictions, references, strict=True)
    ]

    def best(score: Callable[[str, str], float]) -> np.ndarray:
        return np.array(
            [max(score(prediction, text) for text in texts) for prediction, texts in pairs], dtype=np.float64
        )

    return AnswerScores(exact=best(exact_match), f1=best(word_f1))


def normalized(answer: str) -> str:
    """In lower case, without ASCII punctuation, then without English articles, words parted by single spaces."""
    return " ".join(_ARTICLE.sub(" ", answer.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(prediction: str, reference: str) -> float:
    return float(normalized(prediction) == normalized(reference))


def word_f1(prediction: str, reference: str) -> float:
    """F1 of the words that both have, each as often as both have it; of two empty answers 1."""
    found, right = normalized(prediction).split(), normalized(reference).split()
    if not found or not right:
        return float(found == right)
    num_shared = (Counter(found) & Counter(right)).total()
    return 2 * num_shared / (len(found) + len(right))
