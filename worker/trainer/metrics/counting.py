"""What F1, precision and recall are made of: how often each class was right, answered and true; and ways to average.

Arrays are class ids ``[n]``, or 0 and 1 for each label ``[n, K]``. Undefined scores (0 / 0) are 0, as in scikit-learn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

MULTI_LABEL = "multilabel"
"""Name of the configuration of a metric that takes several labels a row, as in the modules of ``evaluate``."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """By class, each ``[K]``. Of class ids, only classes that occur in either array are counted."""

    hits: np.ndarray
    answered: np.ndarray
    support: np.ndarray

    @classmethod
    def of(cls, predictions: Any, references: Any, *, average: str = "macro") -> "Counts":
        predicted, true = np.asarray(predictions), np.asarray(references)
        if average == "binary":
            predicted, true = (predicted == 1)[:, None], (true == 1)[:, None]
        if true.ndim == 2:
            predicted, true = predicted.astype(bool), true.astype(bool)
            return cls(hits=(predicted & true).sum(axis=0), answered=predicted.sum(axis=0), support=true.sum(axis=0))
        classes, places = np.unique(np.concatenate([predicted, true]), return_inverse=True)
        answered, support = places[: len(predicted)], places[len(predicted) :]
        hits = answered[answered == support]
        return cls(**{
            name: np.bincount(found, minlength=len(classes))
            for name, found in (("hits", hits), ("answered", answered), ("support", support))
        })  # fmt: skip

    def summed(self) -> "Counts":
        return Counts(**{name: getattr(self, name).sum(keepdims=True) for name in ("hits", "answered", "support")})


def averaged(
    predictions: Any, references: Any, *, average: str, score: Callable[[Counts], tuple[np.ndarray, np.ndarray]]
) -> float:
    """``score`` gives numerators and denominators by class. ``average`` is one of scikit-learn's words.

    ``binary``: class 1 of two. ``micro``: over all decisions together. ``macro``: every class counts the same.
    ``weighted``: each counts by how often it is true.
    """
    counts = Counts.of(predictions, references, average=average)
    if average == "micro":
        counts = counts.summed()
    scores = ratio(*score(counts))
    if average != "weighted":
        return float(scores.mean())
    return float(ratio(np.sum(scores * counts.support, keepdims=True), counts.support.sum(keepdims=True))[0])


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """0 where ``whole`` is."""
    found: np.ndarray = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return found
