"""Mean squared error."""

import math
from typing import Any

import datasets
import evaluate
import numpy as np


class MeanSquaredError(evaluate.Metric):  # type: ignore[misc] # the library ships no types
    """Mean of the squared differences; ``squared=False``: its root, in the unit of the labels."""

    def _info(self) -> Any:
        numbers = {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
        return evaluate.MetricInfo(
            description="Mean squared error.",
            citation="",
            inputs_description="predictions, references: numbers; squared",
            features=datasets.Features(numbers),
        )

    def _compute(self, predictions: Any, references: Any, squared: bool = True) -> dict[str, float]:  # noqa: FBT001, FBT002 - the word of `evaluate`
        error = float(np.mean(np.square(np.asarray(predictions) - np.asarray(references))))
        return {"mse": error if squared else math.sqrt(error)}
