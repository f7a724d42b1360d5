"""Mean absolute error."""

from typing import Any

import datasets
import evaluate
import numpy as np


class MeanAbsoluteError(evaluate.Metric):  # type: ignore[misc] # the library ships no types
    """Mean of the absolute differences, in the unit of the labels."""

    def _info(self) -> Any:
        numbers = {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
        return evaluate.MetricInfo(
            description="Mean absolute error.",
            citation="",
            inputs_description="predictions, references: numbers",
            features=datasets.Features(numbers),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"mae": float(np.mean(np.abs(np.asarray(predictions) - np.asarray(references))))}
