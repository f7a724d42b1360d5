"""ROUGE."""

from typing import Any

import datasets
import evaluate
import numpy as np

from worker.trainer.metrics.overlap import rouge_l, rouge_l_sum, rouge_n, words_of


class Rouge(evaluate.Metric):  # type: ignore[misc] # the library ships no types
    """Words that a text shares with its reference (Lin, 2004): the mean F-measure over all of them, from 0 to 1.

    ``rouge1`` and ``rouge2`` count words and pairs of them, ``rougeL`` the longest common subsequence of the whole, and
    ``rougeLsum`` those of the lines. As in the package rouge_score, without stemming: words are runs of a to z and 0 to 9 in lower
    case, so a text in another script has none, and scores 0.
    """

    def _info(self) -> Any:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Words that texts share with their references.",
            citation="",
            inputs_description="predictions, references: texts; lines are sentences",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        found: dict[str, list[float]] = {"rouge1": [], "rouge2": [], "rougeL": [], "rougeLsum": []}
        for written, reference in zip(predictions, references, strict=True):
            one, other = words_of(written), words_of(reference)
            found["rouge1"].append(rouge_n(one, other, n=1))
            found["rouge2"].append(rouge_n(one, other, n=2))
            found["rougeL"].append(rouge_l(one, other))
            found["rougeLsum"].append(rouge_l_sum(written.split("\n"), reference.split("\n")))
        return {name: float(np.mean(values)) for name, values in found.items()}
