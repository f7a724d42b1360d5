"""What the API tells of studies, which it calls sweeps. Times are ISO 8601 in UTC."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.job.schemas import JobError, WarningOut
from app.job.states import JobStatus
from app.study.spec import SweepSpec
from app.study.states import StudyRequest, StudyStatus, TrialState


class SweepRequestOut(BaseModel):
    """What was asked of the sweep."""

    action: StudyRequest
    requested_at: datetime


class CountsOut(BaseModel):
    """Trials by state; ``total`` are those that there will be."""

    total: int
    running: int = 0
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    cancelled: int = 0


class BestOut(BaseModel):
    """The best trial so far."""

    trial: int
    job_id: str
    params: dict[str, Any]
    value: float
    model: str | None = Field(description="Its model, which `POST /predict` also finds by the sweep's id")


class SweepOut(BaseModel):
    """A sweep as it stands. ``spec`` holds every choice that was made for it."""

    id: str
    object: Literal["sweep"] = "sweep"
    status: StudyStatus
    created_at: datetime
    started_at: datetime | None = Field(description="When the first of its jobs began to run")
    finished_at: datetime | None
    request: SweepRequestOut | None
    counts: CountsOut
    best: BestOut | None
    importances: dict[str, float] | None = Field(
        description="How much each parameter matters for being among the best, 1 together; once ten trials are complete"
    )
    error: JobError | None
    metadata: dict[str, str]
    spec: SweepSpec


class SweepPage(BaseModel):
    object: Literal["list"] = "list"
    data: list[SweepOut]
    has_more: bool
    first_id: str | None
    last_id: str | None


class EvaluationOut(BaseModel):
    """The sweep's metric at one evaluation of the trial."""

    step: int
    epoch: float
    value: float


class TrialOut(BaseModel):
    """One choice of parameters, and the job that tries it."""

    number: int
    object: Literal["sweep.trial"] = "sweep.trial"
    state: TrialState
    job_id: str | None = Field(description="null: it was refused before it became a job")
    job_status: JobStatus | None
    params: dict[str, Any]
    value: float | None = Field(description="Of the sweep's metric, of the model that the job has published")
    intermediate_values: list[EvaluationOut]
    error: JobError | None
    created_at: datetime
    finished_at: datetime | None


class TrialPage(BaseModel):
    """In the order of their numbers; ``last_number`` is the cursor to go on from."""

    object: Literal["list"] = "list"
    data: list[TrialOut]
    has_more: bool
    last_number: int | None


class SweepValidationOut(BaseModel):
    """The answer to ``validate_only``: the spec as the sweep would have it."""

    valid: Literal[True] = True
    spec: SweepSpec
    warnings: list[WarningOut]


class DeletedSweepOut(BaseModel):
    id: str
    deleted: Literal[True] = True
