"""From logits to named scores."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.prediction.wire import FunctionToApply, LabelScore
from app.spec.base import ProblemType

FUNCTIONS: Final[dict[ProblemType, FunctionToApply]] = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "none",
    "token_classification": "softmax",
    "language_modeling": "none",
    "extractive_question_answering": "none",
    "sequence_to_sequence": "none",
}
"""What makes scores of logits unless somebody asks for another function; evaluation uses the same."""

THRESHOLD: Final = 0.5
"""Where a text may have several labels, it has those whose score is at least this."""


def scores_of(logits: NDArray[np.float32], *, function_to_apply: FunctionToApply) -> NDArray[np.float64]:
    """Scores ``[n, K]`` of ``logits`` ``[n, K]``, worked out in float64 so that a row of softmax sums to 1."""
    values = logits.astype(np.float64)
    if function_to_apply == "none":
        return values
    if function_to_apply == "sigmoid":
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)))  # 1/(1+exp(-x)) would overflow
    exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def label_scores(
    logits: NDArray[np.float32],
    *,
    labels: Sequence[str],
    function_to_apply: FunctionToApply = "softmax",
    top_k: int | None = None,
    threshold: float | None = None,
) -> list[list[LabelScore]]:
    """``(label, score)`` by row, best first and equal ones by class id: at most ``top_k``, none below ``threshold``."""
    decoded = []
    for row in scores_of(logits, function_to_apply=function_to_apply):
        best_first = np.argsort(-row, kind="stable")[:top_k]
        chosen = [(labels[index], float(row[index])) for index in best_first]
        decoded.append([pair for pair in chosen if threshold is None or pair[1] >= threshold])
    return decoded
