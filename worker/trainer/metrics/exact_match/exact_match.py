"""Exact match."""

from typing import Any

import datasets
import evaluate
import numpy as np


class ExactMatch(evaluate.Metric):  # type: ignore[misc] # the library ships no types
    """The fraction of texts that equal their reference, but for white space at their ends. Case and punctuation count."""

    def _info(self) -> Any:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Fraction of texts that equal their reference.",
            citation="",
            inputs_description="predictions, references: texts",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        same = [one.strip() == other.strip() for one, other in zip(predictions, references, strict=True)]
        return {"exact_match": float(np.mean(same))}
