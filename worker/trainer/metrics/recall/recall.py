"""Recall."""

from typing import Any

import datasets
import evaluate

from worker.trainer.metrics.counting import MULTI_LABEL, averaged


class Recall(evaluate.Metric):  # type: ignore[misc] # the library ships no types
    """Fraction of the examples of a class that are found.

    ``average``: ``"binary"`` for class 1 of two, ``"macro"``, ``"micro"`` or ``"weighted"``. 0 if undefined (0 / 0).
    """

    def _info(self) -> Any:
        kind = datasets.Value("int64")
        if self.config_name == MULTI_LABEL:
            kind = datasets.Sequence(kind)
        return evaluate.MetricInfo(
            description="Fraction of the examples of a class that are found.",
            citation="",
            inputs_description="predictions, references: class ids, or 0 and 1 for each label; average",
            features=datasets.Features({"predictions": kind, "references": kind}),
        )

    def _compute(self, predictions: Any, references: Any, average: str = "binary") -> dict[str, float]:
        score = averaged(
            predictions,
            references,
            average=average,
            score=lambda counts: (counts.hits, counts.support),
        )
        return {"recall": score}
