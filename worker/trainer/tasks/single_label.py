"""One class of K."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional

from app.spec.base import ProblemType
from app.spec.mistakes import Mistake
from app.spec.training import TrainingSpec
from worker.trainer.class_report import class_report
from worker.trainer.examples import Examples
from worker.trainer.mistakes import Mistakes, shown, worst
from worker.trainer.splitting import stratified_split
from worker.trainer.tasks.task import NEAR_TIE, Comparison, Task


class SingleLabel(Task):
    """Labels are class ids, ``[examples]`` int64; a logit for each class, softmax and cross entropy."""

    problem_type: ClassVar[ProblemType] = "single_label_classification"
    _class_weights: torch.Tensor | None = None

    def read_label(self, value: Any) -> int:
        return self._class_ids[value]

    def stack(self, labels: Sequence[Any]) -> np.ndarray:
        return np.asarray(labels, dtype=np.int64)

    def set_aside(self, examples: Examples, *, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        return stratified_split(examples.labels, fraction=fraction, seed=seed)

    def weigh_classes(self, args: TrainingSpec, labels: np.ndarray) -> None:
        """Balanced: as scikit-learn does, n / (K × the class's examples); the mean over the training split is then 1."""
        match args.class_weights:
            case None:
                return
            case "balanced":
                counts = np.maximum(1, np.bincount(labels, minlength=self.num_outputs))
                weights = len(labels) / (self.num_outputs * counts)
            case given:
                weights = np.array([given.get(label, 1.0) for label in self.label_names])
        self._class_weights = torch.from_numpy(weights.astype(np.float32))

    def training_loss(self, logits: torch.Tensor, labels: torch.Tensor, *, args: TrainingSpec) -> torch.Tensor:
        weights = self._class_weights
        return functional.cross_entropy(
            logits.float(),
            labels,
            weight=None if weights is None else weights.to(logits.device),
            reduction="sum",
            label_smoothing=args.label_smoothing_factor,
        )

    def mean_loss(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """Of probabilities no smaller than float64 can take the logarithm of."""
        scores = self.scores(logits)[np.arange(len(labels)), labels]
        return float(-np.log(np.maximum(scores, np.finfo(np.float64).tiny)).mean())

    def predict(self, logits: np.ndarray) -> np.ndarray:
        """The first of several equal ones."""
        classes: np.ndarray = self.scores(logits).argmax(axis=1)
        return classes

    def compare(self, served: np.ndarray, trained: np.ndarray, *, precision: str) -> Comparison:
        best_two = np.partition(self.scores(trained), -2, axis=1)[:, -2:]
        undecided = best_two[:, 1] - best_two[:, 0] <= NEAR_TIE[precision]
        return Comparison(
            differing=np.flatnonzero((self.predict(served) != self.predict(trained)) & ~undecided),
            explained=np.where(undecided[:, None], trained, served),
        )

    def mistakes(self, logits: np.ndarray, examples: Examples) -> Mistakes:
        """Those first of which the model is most certain."""
        scores, answers, labels = self.scores(logits), self.predict(logits), examples.labels
        numbers = np.flatnonzero(answers != labels)
        certainty = scores[numbers, answers[numbers]]
        names = self.label_names
        kinds = [(labels[number], answers[number]) for number in numbers]
        kept = []
        for number in numbers[worst(certainty, kinds)].tolist():
            true, given = names[labels[number]], names[answers[number]]
            kept.append(
                Mistake(
                    **shown(examples, number),
                    label=true,
                    predicted=given,
                    missed=[true],
                    wrong=[given],
                    score=float(scores[number, answers[number]]),
                    label_score=float(scores[number, labels[number]]),
                )
            )
        return Mistakes(num_wrong=len(numbers), kept=kept)

    def guess(self, labels: np.ndarray) -> int:
        """The most frequent class; of several the one with the lowest id."""
        return int(np.bincount(labels, minlength=self.num_outputs).argmax())

    def report(
        self,
        logits: np.ndarray,
        labels: np.ndarray,
        *,
        offsets: np.ndarray,  # noqa: ARG002
        guess: int,
    ) -> dict[str, Any]:
        return class_report(self.predict(logits), labels, labels=self.label_names, majority=guess)
