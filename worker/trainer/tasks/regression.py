"""A number."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np
import torch

from app.spec.base import ProblemType
from app.spec.mistakes import Mistake
from app.spec.training import TrainingSpec
from worker.trainer.examples import Examples
from worker.trainer.mistakes import Mistakes, shown, worst
from worker.trainer.tasks.task import Comparison, Task

ROUNDING: Final = {"float32": 1e-4, "bfloat16": 2e-2}
"""Two ways to compute the same answer differ by no more, relative to the answer where it is above 1."""


class Regression(Task):
    """Labels are numbers, ``[examples]`` float32; one logit, which is the answer, and the squared error."""

    problem_type: ClassVar[ProblemType] = "regression"

    def read_label(self, value: Any) -> float:
        return float(value)

    def stack(self, labels: Sequence[Any]) -> np.ndarray:
        return np.asarray(labels, dtype=np.float32)

    def first_logits(self, labels: np.ndarray) -> np.ndarray:
        """Their mean, so that training is about what differs between the texts."""
        return np.array([self.guess(labels)])

    def training_loss(self, logits: torch.Tensor, labels: torch.Tensor, *, args: TrainingSpec) -> torch.Tensor:  # noqa: ARG002
        return (logits.float()[:, 0] - labels).square().sum()

    def mean_loss(self, logits: np.ndarray, labels: np.ndarray) -> float:
        return float(np.square(self.predict(logits) - labels).mean())

    def predict(self, logits: np.ndarray) -> np.ndarray:
        numbers: np.ndarray = self.scores(logits)[:, 0]
        return numbers

    def compare(self, served: np.ndarray, trained: np.ndarray, *, precision: str) -> Comparison:
        expected = self.predict(trained)
        allowed = ROUNDING[precision] * np.maximum(1, np.abs(expected))
        return Comparison(
            differing=np.flatnonzero(~(np.abs(self.predict(served) - expected) <= allowed)), explained=served
        )

    def mistakes(self, logits: np.ndarray, examples: Examples) -> Mistakes:
        """The largest errors."""
        predicted, true = self.predict(logits), examples.labels.astype(np.float64)
        errors = predicted - true
        kept = [
            Mistake(
                **shown(examples, number),
                label=float(true[number]),
                predicted=float(predicted[number]),
                error=float(errors[number]),
            )
            for number in worst(np.abs(errors), [""] * len(errors))
        ]
        return Mistakes(num_wrong=None, kept=kept)

    def guess(self, labels: np.ndarray) -> float:
        """The mean, which has the smallest squared error."""
        return float(labels.mean(dtype=np.float64))

    def report(
        self,
        logits: np.ndarray,
        labels: np.ndarray,
        *,
        offsets: np.ndarray,  # noqa: ARG002
        guess: float,
    ) -> dict[str, Any]:
        true = labels.astype(np.float64)
        return {
            "num_examples": len(true),
            "references": _summary(true),
            "predictions": _summary(self.predict(logits)),
            "mean_baseline": {
                "value": guess,
                "mse": float(np.square(true - guess).mean()),
                "mae": float(np.abs(true - guess).mean()),
            },
        }


def _summary(numbers: np.ndarray) -> dict[str, float]:
    return {
        "min": float(numbers.min()),
        "max": float(numbers.max()),
        "mean": float(numbers.mean()),
        "std": float(numbers.std()),
    }
