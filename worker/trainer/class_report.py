"""The report of a split: what the numbers hide, class by class."""

from typing import Any, Final

import numpy as np

MAX_MATRIX_CLASSES: Final = 200
"""Above it the confusion matrix is left out: nobody reads 40,000 cells, and it would fill the job's record."""


def class_report(
    predictions: np.ndarray, references: np.ndarray, *, labels: list[str], majority: int
) -> dict[str, Any]:
    """``per_class``, ``confusion_matrix`` (rows: true class; None if too large) and the accuracy of always answering class ``majority``.

    A score that is undefined (0 / 0) is 0, as in scikit-learn.
    """
    matrix = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(matrix, (references, predictions), 1)
    hits, support, answered = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    columns = {
        "precision": _ratio(hits, answered),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, answered + support),
    }
    return {
        "num_examples": len(references),
        "per_class": [
            {"label": label, "support": int(support[number])}
            | {name: float(values[number]) for name, values in columns.items()}
            for number, label in enumerate(labels)
        ],
        "confusion_matrix": matrix.tolist() if len(labels) <= MAX_MATRIX_CLASSES else None,
        "majority_baseline": {"label": labels[majority], "accuracy": float(support[majority] / max(1, support.sum()))},
    }


def majority_class(references: np.ndarray, *, num_labels: int) -> int:
    """The most frequent class; of several the one with the lowest id."""
    return int(np.bincount(references, minlength=num_labels).argmax())


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return ratio
