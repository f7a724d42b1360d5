"""Perplexity."""

from typing import Any

import datasets
import evaluate
import numpy as np


class Perplexity(evaluate.Metric):  # type: ignore[misc] # the library ships no types
    """``exp`` of the mean loss of the tokens: how many equally probable ones the model chooses among."""

    def _info(self) -> Any:
        return evaluate.MetricInfo(
            description="Exponential of the mean loss of the tokens.",
            citation="",
            inputs_description="predictions: minus the natural logarithm of the probability of each token",
            features=datasets.Features({"predictions": datasets.Value("float32")}),
        )

    def _compute(self, predictions: Any) -> dict[str, float]:
        return {"perplexity": float(np.exp(np.asarray(predictions, dtype=np.float64).mean()))}
