"""The report of a split of questions: how right the answers are, and what guesses without the question would be."""

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from worker.trainer.answer_scores import AnswerScores, score_answers

NUM_WORST: Final = 10
MOST_SHOWN: Final = 200
"""Characters of each text of a wrong answer."""
_SENTENCE_END: Final = re.compile(r"(?<=[.!?。！？])\s+|\n")


def answer_report(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    questions: Sequence[str],
    contexts: Sequence[str],
) -> dict[str, Any]:
    """Exact match and F1 in per cent, of the questions with an answer and of those without.

    The baselines answer nothing, or the first sentence of the context. ``wrong_answers`` are those with the lowest F1, in the
    order of the split.
    """
    scores = score_answers(predictions, references)
    has_answer = np.array([len(texts) > 0 for texts in references], dtype=bool)
    return {
        "num_examples": len(predictions),
        "has_answer": _part(scores, has_answer),
        "no_answer": _part(scores, ~has_answer),
        "no_answer_baseline": _named(score_answers([""] * len(references), references)),
        "first_sentence_baseline": _named(score_answers([first_sentence(text) for text in contexts], references)),
        "wrong_answers": [
            {
                "question": questions[number][:MOST_SHOWN],
                "prediction": predictions[number][:MOST_SHOWN],
                "answers": [text[:MOST_SHOWN] for text in list(references[number])[:3]],
                "f1": 100 * float(scores.f1[number]),
            }
            for number in np.argsort(scores.f1, kind="stable")[:NUM_WORST]
            if scores.exact[number] == 0
        ],
    }


def first_sentence(context: str) -> str:
    """Up to the first mark that ends one, or the end of the line."""
    return _SENTENCE_END.split(context.strip(), maxsplit=1)[0]


def _part(scores: AnswerScores, chosen: np.ndarray) -> dict[str, Any]:
    return {"num_examples": int(chosen.sum())} | (_named(scores, chosen) if chosen.any() else {})


def _named(scores: AnswerScores, chosen: np.ndarray | None = None) -> dict[str, float]:
    """By the names of the job's metrics."""
    return {f"squad_{name}": value for name, value in scores.in_per_cent(chosen).items()}
