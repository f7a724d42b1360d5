"""All that a resume needs beside weights and optimizer: where the run is and what it has seen."""

from pydantic import BaseModel, ConfigDict


class Best(BaseModel):
    """The best checkpoint so far. It may lie in the folder of an earlier attempt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int
    value: float
    """Of ``metric_for_best_model``."""
    metrics: dict[str, float] = {}
    """All that its evaluation measured."""
    path: str | None = None
    """None within a checkpoint that is itself the best: it cannot hold its own hash."""
    manifest_sha256: str | None = None


class TrainState(BaseModel):
    """Changes only at the end of an optimizer step."""

    model_config = ConfigDict(extra="forbid")

    step: int = 0
    """Finished optimizer steps."""
    num_tokens: int = 0
    """Real tokens of all their examples, each time they were seen."""
    micro_batch_parts: int = 1
    """Each micro-batch goes through the model in so many parts, for want of memory."""

    best: Best | None = None
    evaluations_without_improvement: int = 0
    evaluation_pending: bool = False
    """This step's evaluation is due and was interrupted."""
    finished: bool = False
    """The last step is done, or early stopping ended the run."""

    loss_sum: float = 0.0
    """Loss × examples since the last point of ``train/loss``."""
    loss_examples: int = 0

    def advance_step(self, *, loss: float, num_examples: int, num_tokens: int) -> None:
        """An optimizer step is done; ``loss`` is the mean over its ``num_examples``."""
        self.step += 1
        self.num_tokens += num_tokens
        self.loss_sum += loss * num_examples
        self.loss_examples += num_examples

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
