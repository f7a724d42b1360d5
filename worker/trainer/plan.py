"""How long a run is and at which of its steps something happens: functions of the step alone, the same after a resume."""

import math
from dataclasses import dataclass

from app.spec.recipe import num_steps, steps_per_epoch
from app.spec.training import TrainingSpec


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All numbers count optimizer steps since the job began."""

    max_steps: int
    steps_per_epoch: int
    warmup_steps: int
    log_every: int | None
    """None: never."""
    evaluate_every: int | None
    save_every: int | None

    @classmethod
    def of(cls, training: TrainingSpec, *, num_examples: int) -> "Plan":
        """The plan of a filled spec (``app.spec.recipe.fill``)."""
        max_steps = num_steps(training, num_examples=num_examples)
        per_epoch = steps_per_epoch(training, num_examples=num_examples)
        logging_steps = _steps(training.logging_steps, max_steps=max_steps)
        eval_steps = logging_steps if training.eval_steps is None else _steps(training.eval_steps, max_steps=max_steps)
        intervals = {"no": None, "epoch": per_epoch}
        return cls(
            max_steps=max_steps,
            steps_per_epoch=per_epoch,
            warmup_steps=_steps(training.warmup_steps, max_steps=max_steps),
            log_every=intervals.get(training.logging_strategy, logging_steps),
            evaluate_every=intervals.get(training.eval_strategy, eval_steps),
            save_every=intervals.get(training.save_strategy, _steps(training.save_steps, max_steps=max_steps)),
        )

    @property
    def num_epochs(self) -> int:
        """Epochs begun, the last of which may be cut short by ``max_steps``."""
        return math.ceil(self.max_steps / self.steps_per_epoch)

    def epoch_at(self, step: int) -> float:
        return step / self.steps_per_epoch

    def logs_at(self, step: int) -> bool:
        return self.log_every is not None and (step % self.log_every == 0 or step == self.max_steps)

    def evaluates_at(self, step: int) -> bool:
        """The final weights are always evaluated, also when ``eval_strategy`` is ``"no"``."""
        return step == self.max_steps or (self.evaluate_every is not None and step % self.evaluate_every == 0)

    def saves_at(self, step: int) -> bool:
        return self.save_every is not None and (step % self.save_every == 0 or step == self.max_steps)


def _steps(value: float | str, *, max_steps: int) -> int:
    """A count, or below 1 a fraction of all steps."""
    number = float(value)
    return math.ceil(number * max_steps) if number < 1 else int(number)
