"""All that a resume needs beside weights and optimizer: where the run is and what it has seen."""

from pydantic import BaseModel, ConfigDict


class Best(BaseModel):
    """The best checkpoint so far. It may lie in the folder of an earlier attempt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int
    value: float
    """Of ``metric_for_best_model``."""
    path: str | None = None
    """None within a checkpoint that is itself the best: it cannot hold its own hash."""
    manifest_sha256: str | None = None


class TrainState(BaseModel):
    """Changes only at the end of an optimizer step, but for the two counters of micro-batches."""

    model_config = ConfigDict(extra="forbid")

    step: int = 0
    """Finished optimizer steps."""
    micro_step: int = 0
    """Finished micro-batches since the job began: what the dropout of the next is seeded by."""
    epoch: int = 0
    """Number of the current epoch, from 0."""
    batch_in_epoch: int = 0
    """Finished micro-batches of it."""

    best: Best | None = None
    evaluations_without_improvement: int = 0
    evaluation_pending: bool = False
    """This step's evaluation is due and was interrupted."""
    finished: bool = False
    """The last step is done, or early stopping ended the run."""

    loss_sum: float = 0.0
    """Loss × examples since the last point of ``train/loss``."""
    loss_examples: int = 0

    def count_micro_batch(self) -> None:
        self.micro_step += 1
        self.batch_in_epoch += 1

    def advance_step(self, *, loss: float, num_examples: int, steps_per_epoch: int) -> None:
        """An optimizer step is done; ``loss`` is the mean over its ``num_examples``."""
        self.step += 1
        self.loss_sum += loss * num_examples
        self.loss_examples += num_examples
        if self.step % steps_per_epoch == 0:
            self.epoch += 1
            self.batch_in_epoch = 0

    def take_mean_loss(self) -> float:
        """The loss since the last call."""
        mean = self.loss_sum / self.loss_examples
        self.loss_sum, self.loss_examples = 0.0, 0
        return mean

    def judge(self, value: float, *, greater_is_better: bool, threshold: float) -> bool:
        """Take in an evaluation's value; true if it is the best so far (the earlier of two equal ones stays).

        An improvement of no more than ``threshold`` is the best, but does not reset the patience of early stopping.
        """
        gain = None if self.best is None else (value - self.best.value) * (1 if greater_is_better else -1)
        improved = gain is None or gain > 0
        patient = gain is None or gain > threshold
        self.evaluations_without_improvement = 0 if patient else self.evaluations_without_improvement + 1
        return improved
