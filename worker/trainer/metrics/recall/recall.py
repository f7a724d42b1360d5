"""Recall."""

from typing import Any

import datasets
import evaluate
import numpy as np


class Recall(evaluate.Metric):  # type: ignore[misc] # the library ships no types
    """Fraction of the examples of a class that are found.

    ``average``: ``"binary"`` for class 1 of two, ``"macro"`` for the mean over all classes that occur in either array.
    A class for which it is undefined (0 / 0) counts as 0, as in scikit-learn.
    """

    def _info(self) -> Any:
        integers = {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
        return evaluate.MetricInfo(
            description="Fraction of the examples of a class that are found.",
            citation="",
            inputs_description='predictions, references: class ids; average: "binary" or "macro"',
            features=datasets.Features(integers),
        )

    def _compute(self, predictions: Any, references: Any, average: str = "binary") -> dict[str, float]:
        predicted, true = np.asarray(predictions), np.asarray(references)
        classes = [1] if average == "binary" else np.union1d(predicted, true)
        scores = []
        for label in classes:
            hits = np.sum((predicted == label) & (true == label))
            total = np.sum(true == label)
            scores.append(float(hits) / total if total else 0.0)
        return {"recall": float(np.mean(scores))}
