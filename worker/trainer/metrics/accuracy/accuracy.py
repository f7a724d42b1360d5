"""Accuracy."""

from typing import Any

import datasets
import evaluate
import numpy as np

from worker.trainer.metrics.counting import MULTI_LABEL


class Accuracy(evaluate.Metric):  # type: ignore[misc] # the library ships no types
    """The fraction of predictions that equal their reference; with several labels a row, in all of them."""

    def _info(self) -> Any:
        kind = datasets.Value("int64")
        if self.config_name == MULTI_LABEL:
            kind = datasets.Sequence(kind)
        return evaluate.MetricInfo(
            description="Fraction of predictions that equal their reference.",
            citation="",
            inputs_description="predictions, references: class ids, or 0 and 1 for each label",
            features=datasets.Features({"predictions": kind, "references": kind}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        same = np.asarray(predictions) == np.asarray(references)
        return {"accuracy": float(np.mean(same.reshape(len(same), -1).all(axis=1)))}
