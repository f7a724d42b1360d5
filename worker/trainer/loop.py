"""The training loop, in the order it runs. What is clever lives behind a plain name in its own file."""

import math
from dataclasses import dataclass, field
from typing import Final

import torch
from accelerate import Accelerator
from torch import nn

from app.errors import InvalidData
from app.spec.messages import ProgressMessage
from app.spec.training import TrainingSpec
from worker.allocator import give_back_free_memory
from worker.trainer.batching import MicroBatch, StepBatch, TrainBatches
from worker.trainer.checkpoints import Checkpoints
from worker.trainer.control import Control
from worker.trainer.evaluation import Evaluation, Evaluator
from worker.trainer.forward import Forward
from worker.trainer.memory import free_and_report, refuse_unless_smaller_parts_help
from worker.trainer.optim import Schedule, clip
from worker.trainer.plan import Plan
from worker.trainer.randomness import Stream, seed_torch
from worker.trainer.ranks import Ranks
from worker.trainer.reporting import Reporter
from worker.trainer.speed import Speed
from worker.trainer.state import TrainState
from worker.trainer.tasks import Task
from worker.trainer.tracking import Trackers
from worker.trainer.trained_weights import Weights

STEPS_BETWEEN_TIDYING: Final = 16


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a run is made of; nothing in here changes from step to step but the weights and the optimizer."""

    args: TrainingSpec
    plan: Plan
    task: Task
    accelerator: Accelerator
    model: nn.Module
    """As ``accelerator.prepare`` gave it: its forward runs in the job's precision and returns float32 logits."""
    weights: Weights
    forward: Forward
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    batches: TrainBatches
    evaluator: Evaluator
    checkpoints: Checkpoints
    control: Control
    report: Reporter
    trackers: Trackers
    ranks: Ranks
    speed: Speed = field(default_factory=Speed)


def train(parts: Parts, state: TrainState) -> None:
    """Train from ``state`` to the end of the plan or an early stop; ``state.best`` is then set.

    Raises Stopped when asked to stop (after a checkpoint, if it is a drain), InvalidData when the loss is not finite.
    """
    if state.evaluation_pending:
        close_step(parts, state)
    parts.report.phase("training")
    parts.speed.start()
    parts.model.train()
    steps_per_epoch = parts.plan.steps_per_epoch
    for epoch in range(state.step // steps_per_epoch, parts.plan.num_epochs):
        for batch in parts.batches.of_epoch(epoch, start_at=state.step - epoch * steps_per_epoch):
            if state.finished:
                return
            loss_tensor, num_tokens = accumulate(parts, state, batch)
            loss_tensor, num_tokens = add_up(parts, loss_tensor, num_tokens)
            learning_rate = parts.schedule.set_rate(parts.optimizer, state.step)
            grad_norm = clip(parts.optimizer, max_norm=parts.args.max_grad_norm, ranks=parts.ranks)
            loss = refuse_unless_finite(loss_tensor, grad_norm, step=state.step + 1)
            parts.optimizer.step()
            parts.optimizer.zero_grad(set_to_none=True)
            state.advance_step(loss=loss, num_examples=batch.num_examples, num_tokens=num_tokens)
            parts.speed.count_step(num_examples=batch.num_examples, num_tokens=num_tokens)
            report_step(parts, state, learning_rate=learning_rate, grad_norm=float(grad_norm))
            close_step(parts, state)


def accumulate(parts: Parts, state: TrainState, batch: StepBatch) -> tuple[torch.Tensor, int]:
    """Leave the step's gradient in the parameters; its loss, a mean over all its targets, and its number of tokens.

    Without the memory for it, the step begins anew with every micro-batch in twice as many parts.
    """
    while True:
        try:
            loss, num_tokens = torch.zeros((), device=parts.accelerator.device), 0
            for number, micro_batch in enumerate(parts.batches.micro_batches(batch, parts=state.micro_batch_parts)):
                parts.control.raise_if_cancelled()
                seed_torch(parts.args.seed, state.step, number, *parts.ranks.seed, stream=Stream.DROPOUT)
                loss += forward_backward(parts, micro_batch, num_targets=batch.num_targets)
                num_tokens += micro_batch.num_tokens
        except RuntimeError as error:
            refuse_unless_smaller_parts_help(error, parts=state.micro_batch_parts, batch=batch, ranks=parts.ranks)
        else:
            return loss, num_tokens
        parts.optimizer.zero_grad(set_to_none=True)
        state.micro_batch_parts *= 2
        free_and_report(parts.report, parts.args, parts=state.micro_batch_parts, processes=parts.ranks.size)


def forward_backward(parts: Parts, micro_batch: MicroBatch, *, num_targets: int) -> torch.Tensor:
    """Add the gradient of a micro-batch; return its share of the loss, a mean over the step's ``num_targets``."""
    device = parts.accelerator.device
    logits = parts.forward(parts.model, micro_batch.inputs, device=device)
    total = parts.task.training_loss(logits, micro_batch.labels.to(device), args=parts.args)
    loss = micro_batch.weight * total / num_targets
    parts.accelerator.backward(loss)
    return loss.detach()


def add_up(parts: Parts, loss: torch.Tensor, num_tokens: int) -> tuple[torch.Tensor, int]:
    """Give every process of the job the whole step's gradient, loss and number of tokens; and all hear at once that they are to end."""
    control = parts.control
    parts.weights.take_gradients()
    totals = parts.ranks.add_up(
        parts.weights.parameters,
        loss=loss,
        num_tokens=num_tokens,
        stop=control.wants_to_stop,
        finish=control.wants_to_finish,
    )
    if totals.stop:
        control.agree_to_stop()
    if totals.finish:
        control.must_finish = True
    return totals.loss, totals.num_tokens


def refuse_unless_finite(loss: torch.Tensor, grad_norm: torch.Tensor, *, step: int) -> float:
    """The loss as a number. The weights are still those of the last good step when this raises."""
    value = float(loss)
    if math.isfinite(value) and math.isfinite(float(grad_norm)):
        return value
    raise _not_finite(f"the loss is no longer finite at step {step} (loss {value}, gradient norm {float(grad_norm)})")


def report_step(parts: Parts, state: TrainState, *, learning_rate: float, grad_norm: float) -> None:
    plan, speed = parts.plan, parts.speed
    parts.report.progress(
        ProgressMessage(
            step=state.step,
            max_steps=plan.max_steps,
            epoch=plan.epoch_at(state.step),
            samples_per_second=speed.samples_per_second,
            tokens_per_second=speed.tokens_per_second,
            eta_seconds=(plan.max_steps - state.step) * speed.seconds_per_step,
            num_tokens=state.num_tokens,
            gpu_memory_bytes=torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
        )
    )
    if plan.logs_at(state.step):
        values = {
            "train/loss": state.take_mean_loss(),
            "train/learning_rate": learning_rate,
            "train/grad_norm": grad_norm,
        }
        record(parts, state.step, values)


def record(parts: Parts, step: int, values: dict[str, float]) -> None:
    parts.report.points(step, parts.plan.epoch_at(step), values)
    parts.trackers.log(step, values)


def close_step(parts: Parts, state: TrainState) -> None:
    """Evaluate and save where the plan says so, or where a stop was asked for; then stop if it was."""
    plan, control = parts.plan, parts.control
    best: tuple[float, Evaluation] | None = None
    state.finished = state.step >= plan.max_steps or control.must_finish
    evaluates = plan.evaluates_at(state.step) or state.finished or state.evaluation_pending
    if state.step % STEPS_BETWEEN_TIDYING == 0 or evaluates:
        give_back_free_memory()
    if evaluates:
        best = evaluate(parts, state)
    if control.cancelled():
        control.raise_if_stopped()
    resumable = plan.saves_at(state.step) or control.requested is not None
    if resumable or best is not None:
        parts.report.phase("saving")
        parts.checkpoints.save(state, epoch=plan.epoch_at(state.step), resumable=resumable, best=best)
    if resumable:
        control.raise_if_stopped()
    if evaluates or resumable:
        parts.report.phase("training")
        parts.speed.start()


def evaluate(parts: Parts, state: TrainState) -> tuple[float, Evaluation] | None:
    """Evaluate the current weights; value and evaluation if they are the best so far. May end the run early.

    A stop request interrupts it: ``state.evaluation_pending`` then makes the next attempt begin with it.
    """
    args = parts.args
    parts.report.phase("evaluating")
    state.evaluation_pending = True
    parts.weights.write_back(state.step)
    evaluation = parts.evaluator.evaluate(
        parts.accelerator.unwrap_model(parts.model), interrupted=lambda: is_interrupted(parts)
    )
    if evaluation is None:
        parts.control.agree_to_stop()
        return None
    state.evaluation_pending = False
    if not all(math.isfinite(value) for value in evaluation.metrics.values()):
        raise _not_finite(f"the evaluation at step {state.step} gives no finite numbers")
    record(parts, state.step, {f"eval/{name}": value for name, value in evaluation.metrics.items()})
    value = evaluation.metrics[args.metric_for_best_model]
    improved = state.judge(
        value, greater_is_better=bool(args.greater_is_better), threshold=args.early_stopping_threshold
    )
    patience = args.early_stopping_patience
    if patience is not None and state.evaluations_without_improvement >= patience and not state.finished:
        state.finished = True
        parts.report.log(f"early stop at step {state.step}: no improvement in {patience} evaluations", step=state.step)
    return (value, evaluation) if improved else None


def is_interrupted(parts: Parts) -> bool:
    parts.report.goes_on()
    return parts.control.interrupts


def _not_finite(message: str) -> InvalidData:
    return InvalidData(
        message,
        code="loss_nan",
        param="training.learning_rate",
        hint="Try a lower learning_rate, more warmup_steps, or max_grad_norm 1.0.",
    )
