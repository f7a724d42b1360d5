"""What the native API tells of a job. Times are ISO 8601 in UTC."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.job.states import JobPhase, JobRequest, JobStatus
from app.spec.export import ExportSpec
from app.spec.job import JobSpec
from app.spec.kinds import JobKind
from app.spec.mistakes import Mistake
from app.spec.prediction import PredictionSpec


class RequestOut(BaseModel):
    """What was asked of the job and is not done yet, or what ended it."""

    action: JobRequest
    requested_at: datetime


class ProgressOut(BaseModel):
    """``step`` counts optimizer steps since the job began; ``fraction`` is from 0 to 1.

    Of a prediction ``step`` are the rows that are done, of an export the inputs that were compared; of ``max_steps`` in all.
    """

    step: int = 0
    max_steps: int | None = None
    epoch: float = 0.0
    fraction: float = 0.0
    samples_per_second: float | None = None
    tokens_per_second: float | None = None
    eta_seconds: float | None = None
    num_tokens: int | None = Field(
        default=None, description="That the model has learned from so far, each time counted"
    )
    gpu_memory_bytes: int | None = Field(
        default=None, description="The most that the leading process has held of its GPU in this attempt"
    )


class QueueOut(BaseModel):
    position: int = Field(description="1 is the job that starts next; 1001: more than 1,000 start before it")
    estimated_start_at: datetime | None = Field(
        default=None, description="From how long jobs like those before it took; not in lists"
    )
    waits_for: str | None = Field(default=None, description="What no present worker has; null: it waits for its turn")


class MetricsOut(BaseModel):
    """Each is `{"step": 345, "epoch": 3.0, "eval/accuracy": …}`."""

    latest: dict[str, float] | None = None
    best: dict[str, float] | None = None


class WarningOut(BaseModel):
    code: str
    message: str


class JobError(BaseModel):
    """Why a job failed: what is wrong, where, and what to do."""

    code: str
    message: str
    param: str | None = None
    hint: str | None = None


class JobModelOut(BaseModel):
    id: str
    weights_sha256: str
    base_model: str


class CheckpointOut(BaseModel):
    id: str
    step: int
    epoch: float
    attempt: int
    metrics: dict[str, float]
    is_best: bool
    size_bytes: int
    state: Literal["committed", "corrupt", "deleted"]
    created_at: datetime


class JobOut(BaseModel):
    """A job as it stands. ``spec`` holds every choice that was made for it."""

    id: str
    object: Literal["job"] = "job"
    kind: JobKind = Field(description="What it does, and with it the form of `spec`")
    status: JobStatus
    phase: JobPhase | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    request: RequestOut | None
    attempt: int = Field(description="How many times the job was started")
    retry_of: str | None = Field(description="The job whose spec this one was made from")
    sweep_id: str | None = Field(description="The sweep that it is a trial of")
    progress: ProgressOut
    queue: QueueOut | None = Field(description="Only while queued")
    estimated_finish_at: datetime | None = Field(
        description="While queued or running, from how long jobs like it took; not in lists"
    )
    metrics: MetricsOut
    best_checkpoint: CheckpointOut | None
    report: dict[str, Any] | None = Field(
        description="Per-class precision, recall and F1, confusion matrix (rows are the true classes), majority baseline; "
        "of a prediction how many rows were predicted, of an export how far it is from what is served"
    )
    data_report: dict[str, Any] | None
    warnings: list[WarningOut]
    error: JobError | None
    timings: dict[str, float]
    model: JobModelOut | None = Field(description="That it made")
    result_files: list[str] = Field(description="Ids of the files that it made, for `GET /files/{id}/content`")
    metadata: dict[str, str]
    spec: JobSpec | PredictionSpec | ExportSpec
    requested_spec: dict[str, Any] = Field(
        description="What was sent; the rest of `spec` is defaults and what was chosen"
    )


class JobPage(BaseModel):
    object: Literal["list"] = "list"
    data: list[JobOut]
    has_more: bool
    first_id: str | None
    last_id: str | None


class MetricOut(BaseModel):
    step: int
    epoch: float
    name: str
    value: float
    created_at: datetime


class MetricPage(BaseModel):
    """``last_id`` is the cursor to go on from, opaque; it stays the same when there is nothing new."""

    data: list[MetricOut]
    has_more: bool
    last_id: str | None


class EventOut(BaseModel):
    id: str
    object: Literal["job.event"] = "job.event"
    number: int = Field(description="Counts up from 1 without a gap")
    created_at: datetime
    level: Literal["info", "warn", "error"]
    type: str
    message: str
    data: dict[str, Any] | None


class EventPage(BaseModel):
    object: Literal["list"] = "list"
    data: list[EventOut]
    has_more: bool
    first_id: str | None
    last_id: str | None


class CheckpointPage(BaseModel):
    object: Literal["list"] = "list"
    data: list[CheckpointOut]


class MistakeOut(Mistake):
    number: int = Field(description="Counts up from 1, the worst")


class MistakePage(BaseModel):
    """Wrong answers of the finished model, worst first. The next page is asked for with ``after=last_id``."""

    object: Literal["list"] = "list"
    split: Literal["validation", "test"]
    rows_of: Literal["train", "validation", "test"] | None = Field(
        description="Where rows are counted: a part that was set aside is in the file of train. null: nothing was measured"
    )
    num_examples: int | None = Field(
        description="In the split; null: nothing was measured, or the task has no right answers"
    )
    num_wrong: int | None = Field(description="Of those, however many are kept; of numbers null")
    num_kept: int
    data: list[MistakeOut]
    has_more: bool
    first_id: str | None
    last_id: str | None


class LogPage(BaseModel):
    """Lines a trainer wrote. ``next`` is the cursor for what comes after them, in the log of the same node."""

    attempt: int | None
    node: int
    lines: list[str]
    next: str
    ended: bool = Field(description="No more lines will come")


class ValidationOut(BaseModel):
    """The answer to ``validate_only``: the spec as the job would have it."""

    valid: Literal[True] = True
    spec: JobSpec
    data_report: dict[str, Any] | None
    warnings: list[WarningOut]


class DeletedJobOut(BaseModel):
    id: str
    deleted: Literal[True] = True
