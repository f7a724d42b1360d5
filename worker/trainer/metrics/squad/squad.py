"""Answers to questions."""

from typing import Any

import datasets
import evaluate

from worker.trainer.answer_scores import score_answers


class Squad(evaluate.Metric):  # type: ignore[misc] # the library ships no types
    """Exact match and F1 in per cent, as the evaluation of SQuAD 2.0 defines them (Rajpurkar et al., 2018)."""

    def _info(self) -> Any:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Answers to questions, as SQuAD measures them.",
            citation="",
            inputs_description='predictions: texts, "" for none; references: lists of right answers, [] where there is none',
            features=datasets.Features({"predictions": text, "references": datasets.Sequence(text)}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return score_answers(predictions, references).in_per_cent()
