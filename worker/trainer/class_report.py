"""The report of a split: what the numbers hide, class by class."""

from typing import Any, Final

import numpy as np

from worker.trainer.metrics.counting import Counts, ratio

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
    counts = Counts(hits=matrix.diagonal(), support=matrix.sum(axis=1), answered=matrix.sum(axis=0))
    support = counts.support
    return {
        "num_examples": len(references),
        "per_class": _per_class(counts, labels),
        "confusion_matrix": matrix.tolist() if len(labels) <= MAX_MATRIX_CLASSES else None,
        "majority_baseline": {"label": labels[majority], "accuracy": float(support[majority] / max(1, support.sum()))},
    }


def label_report(
    predictions: np.ndarray, references: np.ndarray, *, labels: list[str], majority: int
) -> dict[str, Any]:
    """``per_class``, how many labels an example has on average, and the scores of always answering ``majority`` alone.

    Both arrays are 0 and 1 for each label, ``[examples, K]``.
    """
    guesses = np.zeros_like(references)
    guesses[:, majority] = 1
    guessed = Counts.of(guesses, references).summed()
    return {
        "num_examples": len(references),
        "per_class": _per_class(Counts.of(predictions, references), labels),
        "labels_per_example": {
            "references": float(references.sum(axis=1).mean()),
            "predictions": float(predictions.sum(axis=1).mean()),
        },
        "majority_baseline": {
            "label": labels[majority],
            "accuracy": float((guesses == references).all(axis=1).mean()),
            "f1_micro": float(ratio(2 * guessed.hits, guessed.answered + guessed.support)[0]),
        },
    }


def _per_class(counts: Counts, labels: list[str]) -> list[dict[str, Any]]:
    columns = {
        "precision": ratio(counts.hits, counts.answered),
        "recall": ratio(counts.hits, counts.support),
        "f1": ratio(2 * counts.hits, counts.answered + counts.support),
    }
    return [
        {"label": label, "support": int(counts.support[number])}
        | {name: float(values[number]) for name, values in columns.items()}
        for number, label in enumerate(labels)
    ]
