"""Pearson's correlation."""

from typing import Any

import datasets
import evaluate
import numpy as np

from worker.trainer.metrics.correlation import correlation


class Pearson(evaluate.Metric):  # type: ignore[misc] # the library ships no types
    """Linear correlation of predictions and references, −1 to 1; 0 where one of them does not vary (it is then undefined)."""

    def _info(self) -> Any:
        numbers = {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
        return evaluate.MetricInfo(
            description="Linear correlation of predictions and references.",
            citation="",
            inputs_description="predictions, references: numbers",
            features=datasets.Features(numbers),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"pearson": correlation(np.asarray(predictions), np.asarray(references))}
