"""Entities in tagged words."""

from typing import Any

import datasets
import evaluate

from worker.trainer.entity_report import count_entities
from worker.trainer.metrics.counting import ratio


class Seqeval(evaluate.Metric):  # type: ignore[misc] # the library ships no types
    """Precision, recall and F1 of whole entities, and the accuracy of single tags.

    As in the package seqeval in its default mode, with the names of the Hub's module: ``overall_…`` over the entities of all
    kinds together; ``macro_f1`` is the mean over the kinds. 0 if undefined (0 / 0).
    """

    def _info(self) -> Any:
        tags = datasets.Sequence(datasets.Value("string"))
        return evaluate.MetricInfo(
            description="Entities in tagged words.",
            citation="",
            inputs_description="predictions, references: the tags of each sentence's words",
            features=datasets.Features({"predictions": tags, "references": tags}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        _, counts = count_entities(predictions, references)
        overall = counts.summed()
        f1 = ratio(2 * counts.hits, counts.answered + counts.support)
        pairs = [pair for row in zip(predictions, references, strict=True) for pair in zip(*row, strict=True)]
        return {
            "overall_precision": float(ratio(overall.hits, overall.answered)[0]),
            "overall_recall": float(ratio(overall.hits, overall.support)[0]),
            "overall_f1": float(ratio(2 * overall.hits, overall.answered + overall.support)[0]),
            "overall_accuracy": sum(one == other for one, other in pairs) / max(1, len(pairs)),
            "macro_f1": float(f1.mean()) if len(f1) else 0.0,
        }
