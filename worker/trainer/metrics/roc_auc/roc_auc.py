"""ROC-AUC."""

from typing import Any, Final

import datasets
import evaluate
import numpy as np

from worker.trainer.metrics.correlation import ranks

UNDEFINED: Final = 0.5
"""What guessing gives."""


class RocAuc(evaluate.Metric):  # type: ignore[misc] # the library ships no types
    """How likely a row of a class has a higher score for it than a row of another class; ties count half (Fawcett, 2006).

    ``prediction_scores``: one score for each class. ``references``: 0 and 1 for each. The answer is the mean over the
    classes that have both; where none has, there is nothing to rank, and it is 0.5.
    """

    def _info(self) -> Any:
        features = {
            "prediction_scores": datasets.Sequence(datasets.Value("float64")),
            "references": datasets.Sequence(datasets.Value("int64")),
        }
        return evaluate.MetricInfo(
            description="Area under the ROC curve, one class against the rest, as a mean over the classes.",
            citation="",
            inputs_description="prediction_scores: a score for each class; references: 0 and 1 for each class",
            features=datasets.Features(features),
        )

    def _compute(self, prediction_scores: Any, references: Any) -> dict[str, float]:
        scores, true = np.asarray(prediction_scores), np.asarray(references).astype(bool)
        areas = [
            _area(scores[:, column], true[:, column])
            for column in range(true.shape[1])
            if 0 < true[:, column].sum() < len(true)
        ]
        return {"roc_auc": float(np.mean(areas)) if areas else UNDEFINED}


def _area(scores: np.ndarray, positive: np.ndarray) -> float:
    num_positive = int(positive.sum())
    excess = ranks(scores)[positive].sum() - num_positive * (num_positive + 1) / 2
    return float(excess / (num_positive * (len(positive) - num_positive)))
