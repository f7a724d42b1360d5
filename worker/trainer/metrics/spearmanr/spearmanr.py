"""Spearman's rank correlation."""

from typing import Any

import datasets
import evaluate
import numpy as np

from worker.trainer.metrics.correlation import correlation, ranks


class Spearman(evaluate.Metric):  # type: ignore[misc] # the library ships no types
    """Correlation of the ranks, −1 to 1; 0 where one of the two does not vary (it is then undefined)."""

    def _info(self) -> Any:
        numbers = {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
        return evaluate.MetricInfo(
            description="Correlation of the ranks of predictions and references.",
            citation="",
            inputs_description="predictions, references: numbers",
            features=datasets.Features(numbers),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"spearmanr": correlation(ranks(np.asarray(predictions)), ranks(np.asarray(references)))}
