"""Matthews correlation."""

import math
from typing import Any

import datasets
import evaluate
import numpy as np


class MatthewsCorrelation(evaluate.Metric):  # type: ignore[misc] # the library ships no types
    """Correlation of predictions and references, −1 to 1, for any number of classes (Gorodkin, 2004); 0 if undefined."""

    def _info(self) -> Any:
        integers = {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
        return evaluate.MetricInfo(
            description="Matthews correlation coefficient, generalised to K classes.",
            citation="",
            inputs_description="predictions, references: class ids",
            features=datasets.Features(integers),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        predicted, true = np.asarray(predictions), np.asarray(references)
        total, correct = len(true), int(np.sum(predicted == true))
        classes = np.union1d(predicted, true)
        of_predicted = [int(np.sum(predicted == label)) for label in classes]
        of_true = [int(np.sum(true == label)) for label in classes]
        covariance = correct * total - sum(p * t for p, t in zip(of_predicted, of_true, strict=True))
        spread_predicted = total**2 - sum(count**2 for count in of_predicted)
        spread_true = total**2 - sum(count**2 for count in of_true)
        spread = math.sqrt(spread_predicted * spread_true)
        return {"matthews_correlation": covariance / spread if spread else 0.0}
