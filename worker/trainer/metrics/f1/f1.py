"""F1."""

from typing import Any

import datasets
import evaluate

from worker.trainer.metrics.counting import MULTI_LABEL, averaged


class F1(evaluate.Metric):  # type: ignore[misc] # the library ships no types
    """Harmonic mean of precision and recall.

    ``average``: ``"binary"`` for class 1 of two, ``"macro"``, ``"micro"`` or ``"weighted"``. 0 if undefined (0 / 0).
    """

    def _info(self) -> Any:
        kind = datasets.Value("int64")
        if self.config_name == MULTI_LABEL:
            kind = datasets.Sequence(kind)
        return evaluate.MetricInfo(
            description="Harmonic mean of precision and recall.",
            citation="",
            inputs_description="predictions, references: class ids, or 0 and 1 for each label; average",
            features=datasets.Features({"predictions": kind, "references": kind}),
        )

    def _compute(self, predictions: Any, references: Any, average: str = "binary") -> dict[str, float]:
        score = averaged(
            predictions,
            references,
            average=average,
            score=lambda counts: (2 * counts.hits, counts.answered + counts.support),
        )
        return {"f1": score}
