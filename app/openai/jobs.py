"""Fine-tuning jobs, their events and checkpoints as OpenAI's clients know them, to the types that strict ones insist on."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from app import ids
from app.errors import InvalidRequest
from app.job.schemas import CheckpointOut, EventOut, EventPage, JobOut, JobPage, MetricsOut, ProgressOut
from app.job.states import JobStatus
from app.openai.models import OWNER
from app.openai.pages import Listed, Page, optional_seconds, page, unix_seconds
from app.spec.base import Auto
from app.spec.job import JobSpec
from app.spec.training import TrainingSpec


class ChosenHyperparameters(BaseModel):
    batch_size: int | Auto
    """Examples of an optimizer step."""
    learning_rate_multiplier: float | Auto
    n_epochs: int | Auto | None
    """null: passes that are no whole number, or steps were asked for, which clients cannot be told."""


class ChosenSupervised(BaseModel):
    hyperparameters: ChosenHyperparameters


class ChosenMethod(BaseModel):
    type: Literal["supervised"] = "supervised"
    supervised: ChosenSupervised


class FineTuningError(BaseModel):
    code: str
    message: str
    param: str | None


class FineTuningJob(Listed):
    """Every member is always there. ``progress``, ``metrics``, ``task`` and ``spec`` are ours; clients keep them."""

    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    error: FineTuningError | None
    fine_tuned_model: str | None
    finished_at: int | None
    hyperparameters: ChosenHyperparameters
    model: str
    organization_id: str = OWNER
    result_files: list[str]
    seed: int
    status: JobStatus
    trained_tokens: int | None
    training_file: str
    validation_file: str | None
    estimated_finish: int | None
    integrations: None = None
    metadata: dict[str, str]
    method: ChosenMethod
    task: str
    progress: ProgressOut
    metrics: MetricsOut
    spec: JobSpec


class FineTuningEvent(Listed):
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any] | None


class FineTuningCheckpoint(Listed):
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    metrics: dict[str, float]
    """``step``, ``train_loss``, ``valid_loss``, and what else was measured then, such as ``f1``."""
    step_number: int


def fine_tuning_job(job: JobOut) -> FineTuningJob:
    """``job`` is one that trains: its spec is a ``JobSpec``."""
    spec = job.spec
    assert isinstance(spec, JobSpec)
    chosen = _hyperparameters(spec.training)
    error = job.error
    return FineTuningJob(
        id=job.id,
        created_at=unix_seconds(job.created_at),
        error=None
        if error is None
        else FineTuningError(code=error.code, message=_with_hint(error.message, error.hint), param=error.param),
        fine_tuned_model=job.model.id if job.model else None,
        finished_at=optional_seconds(job.finished_at),
        hyperparameters=chosen,
        model=spec.model,
        result_files=job.result_files,
        seed=spec.training.seed,
        status=job.status,
        trained_tokens=job.progress.num_tokens,
        training_file=spec.dataset.name or spec.dataset.train or "",
        validation_file=_validation_file(spec),
        estimated_finish=optional_seconds(job.estimated_finish_at),
        metadata=job.metadata,
        method=ChosenMethod(supervised=ChosenSupervised(hyperparameters=chosen)),
        task=spec.task,
        progress=job.progress,
        metrics=job.metrics,
        spec=spec,
    )


def job_page(jobs: JobPage) -> Page[FineTuningJob]:
    return page([fine_tuning_job(job) for job in jobs.data], has_more=jobs.has_more)


def event_page(events: EventPage) -> Page[FineTuningEvent]:
    return page([_event(event) for event in events.data], has_more=events.has_more)


def left_after(checkpoints: Sequence[CheckpointOut], after: str | None) -> list[CheckpointOut]:
    """Those behind ``after`` that are still there. Raises InvalidRequest if it is none of them."""
    start = 0
    if after is not None:
        all_ids = [checkpoint.id for checkpoint in checkpoints]
        if after not in all_ids:
            raise InvalidRequest(f"{after!r} is no checkpoint of the job.", param="after", code="invalid_cursor")
        start = all_ids.index(after) + 1
    return [checkpoint for checkpoint in checkpoints[start:] if checkpoint.state == "committed"]


def checkpoint_page(
    checkpoints: Sequence[CheckpointOut], *, measured: Mapping[int, Mapping[str, float]], job: JobOut, has_more: bool
) -> Page[FineTuningCheckpoint]:
    """``measured``: by step, what was measured at it."""
    spec = job.spec
    assert isinstance(spec, JobSpec)
    model_id = ids.fine_tuned_model_id(spec.model, suffix=spec.suffix, job_id=job.id)
    told = [
        _checkpoint(checkpoint, measured=measured.get(checkpoint.step, {}), job_id=job.id, model_id=model_id)
        for checkpoint in checkpoints
    ]
    return page(told, has_more=has_more)


def _hyperparameters(training: TrainingSpec) -> ChosenHyperparameters:
    batch_size, epochs = training.per_device_train_batch_size, training.num_train_epochs
    whole = epochs == "auto" or (epochs == int(epochs) and training.max_steps < 0)
    return ChosenHyperparameters(
        batch_size=batch_size if batch_size == "auto" else batch_size * training.gradient_accumulation_steps,
        learning_rate_multiplier=training.learning_rate_multiplier,
        n_epochs=(epochs if epochs == "auto" else int(epochs)) if whole else None,
    )


def _validation_file(spec: JobSpec) -> str | None:
    """A file's id; a split's name and a fraction are none."""
    chosen = spec.dataset.validation
    return chosen if spec.dataset.name is None and isinstance(chosen, str) and chosen != "auto" else None


def _with_hint(message: str, hint: str | None) -> str:
    return message if hint is None else f"{message.rstrip('.')}. {hint}"


def _event(event: EventOut) -> FineTuningEvent:
    return FineTuningEvent(
        id=event.id,
        created_at=unix_seconds(event.created_at),
        level=event.level,
        message=event.message,
        type="message",
        data=event.data,
    )


def _checkpoint(
    checkpoint: CheckpointOut, *, measured: Mapping[str, float], job_id: str, model_id: str
) -> FineTuningCheckpoint:
    metrics = {_metric_name(name): value for name, value in {**measured, **checkpoint.metrics}.items()}
    return FineTuningCheckpoint(
        id=checkpoint.id,
        created_at=unix_seconds(checkpoint.created_at),
        fine_tuned_model_checkpoint=f"{model_id}:ckpt-step-{checkpoint.step}",
        fine_tuning_job_id=job_id,
        metrics={"step": float(checkpoint.step)} | metrics,
        step_number=checkpoint.step,
    )


def _metric_name(name: str) -> str:
    """``eval/loss`` is ``valid_loss``, ``train/loss`` ``train_loss``; of all others the name is enough, such as ``f1``."""
    split, _, metric = name.rpartition("/")
    return f"{'valid' if split == 'eval' else split}_loss" if metric == "loss" else metric
