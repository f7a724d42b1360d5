"""Any number of K labels."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional

from app.spec.base import ProblemType
from app.spec.mistakes import Mistake
from app.spec.training import TrainingSpec
from worker.predictor.decode import THRESHOLD
from worker.trainer.class_report import label_report
from worker.trainer.examples import Examples
from worker.trainer.mistakes import Mistakes, shown, worst
from worker.trainer.splitting import random_split
from worker.trainer.tasks.task import NEAR_TIE, Comparison, Task


class MultiLabel(Task):
    """Labels are 0 and 1, ``[examples, K]`` uint8; a logit for each, sigmoid and binary cross entropy.

    The loss of an example is the mean over its K decisions, as in transformers.
    """

    problem_type: ClassVar[ProblemType] = "multi_label_classification"

    def read_label(self, value: Any) -> list[int]:
        return [self._class_ids[label] for label in value]

    def stack(self, labels: Sequence[Any]) -> np.ndarray:
        """A label that a row has twice counts once."""
        rows = np.repeat(np.arange(len(labels)), [len(ids) for ids in labels])
        columns = [class_id for ids in labels for class_id in ids]
        stacked = np.zeros((len(labels), self.num_outputs), dtype=np.uint8)
        stacked[rows, columns] = 1
        return stacked

    def set_aside(self, examples: Examples, *, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        return random_split(len(examples), fraction=fraction, seed=seed, needed=examples.labels)

    def first_logits(self, labels: np.ndarray) -> np.ndarray:
        """How frequent each label is, as a logit (Lin et al., 2017, section 3.3).

        Begun at 0 for labels that few rows have, the first steps push all outputs down whatever the text, and the encoder
        with them. MiniLM on GoEmotions (28 labels, 3e-4): ROC-AUC 0.83 after 200 steps, and begun at 0, 0.55 after 375.
        """
        rates = (labels.sum(axis=0, dtype=np.float64) + 0.5) / (len(labels) + 1)
        logits: np.ndarray = np.log(rates / (1 - rates))
        return logits

    def training_loss(self, logits: torch.Tensor, labels: torch.Tensor, *, args: TrainingSpec) -> torch.Tensor:  # noqa: ARG002
        total = functional.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="sum")
        return total / self.num_outputs

    def mean_loss(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """log(1 + exp(x)) − x·label, which is finite for every finite logit x."""
        values = logits.astype(np.float64)
        return float((np.logaddexp(0, values) - values * labels).mean())

    def predict(self, logits: np.ndarray) -> np.ndarray:
        return (self.scores(logits) >= THRESHOLD).astype(np.uint8)

    def compare(self, served: np.ndarray, trained: np.ndarray, *, precision: str) -> Comparison:
        undecided = np.abs(self.scores(trained) - THRESHOLD) <= NEAR_TIE[precision]
        differing = (self.predict(served) != self.predict(trained)) & ~undecided
        return Comparison(
            differing=np.flatnonzero(differing.any(axis=1)), explained=np.where(undecided, trained, served)
        )

    def mistakes(self, logits: np.ndarray, examples: Examples) -> Mistakes:
        """Those first in which one label is decided wrongly with most certainty; a row counts once."""
        scores, answers, labels = self.scores(logits), self.predict(logits), examples.labels
        differs = answers != labels
        certainties = np.where(differs, np.where(answers == 1, scores, 1 - scores), 0.0)
        numbers = np.flatnonzero(differs.any(axis=1))
        decided = certainties[numbers].argmax(axis=1)
        kinds = [(label, answers[number, label]) for number, label in zip(numbers, decided, strict=True)]
        kept = []
        for number in numbers[worst(certainties[numbers].max(axis=1), kinds)].tolist():
            true, given = self._named(labels[number]), self._named(answers[number])
            kept.append(
                Mistake(
                    **shown(examples, number),
                    label=true,
                    predicted=given,
                    missed=[name for name in true if name not in given],
                    wrong=[name for name in given if name not in true],
                    score=float(certainties[number].max()),
                )
            )
        return Mistakes(num_wrong=len(numbers), kept=kept)

    def _named(self, chosen: np.ndarray) -> list[str]:
        return [self.label_names[number] for number in np.flatnonzero(chosen)]

    def guess(self, labels: np.ndarray) -> int:
        """The most frequent label, alone."""
        return int(labels.sum(axis=0, dtype=np.int64).argmax())

    def report(
        self,
        logits: np.ndarray,
        labels: np.ndarray,
        *,
        offsets: np.ndarray,  # noqa: ARG002
        guess: int,
    ) -> dict[str, Any]:
        return label_report(self.predict(logits), labels, labels=self.label_names, majority=guess)
