"""Rows into answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app import caller, ids
from app.db import now
from app.job import hardware, records, turns
from app.job.forecast import NOTHING, Forecast
from app.job.models import Checkpoint, Job, JobEvent, WorkerPresence
from app.job.schemas import CheckpointOut, EventOut, JobModelOut, JobOut, MetricsOut, ProgressOut, QueueOut, RequestOut
from app.job.states import TERMINAL, JobPhase, JobRequest, JobStatus
from app.model import repository as models
from app.model.models import Model
from app.spec.kinds import JobKind, stored_spec
from app.spec.resources import Asked


def job_out(session: Session, job: Job, *, foretold: Forecast = NOTHING) -> JobOut:
    return _job_out(job, beside=_beside(session, [job]), foretold=foretold)


def jobs_out(session: Session, jobs: Sequence[Job]) -> list[JobOut]:
    """With as many queries for a hundred jobs as for one. Nothing is foretold of them."""
    beside = _beside(session, jobs)
    return [_job_out(job, beside=beside, foretold=NOTHING) for job in jobs]


@dataclass(frozen=True, kw_only=True)
class _Beside:
    """What answers about some jobs hold of other tables."""

    best: Mapping[str, Checkpoint]
    """By job."""
    models: Mapping[str, Model]
    places: Mapping[str, int]
    """In the queue, by waiting job."""
    workers: Sequence[WorkerPresence]
    """Those that are present; empty where none is asked for."""


def _beside(session: Session, jobs: Sequence[Job]) -> _Beside:
    with caller.acting_for(None):  # jobs of other projects are before them
        places = turns.places(session, jobs)
    return _Beside(
        best=records.best_checkpoints(session, [job.id for job in jobs]),
        models=models.by_id(session, [job.model_id for job in jobs if job.model_id]),
        places=places,
        workers=hardware.present_workers(session, now=now(session)) if places else [],
    )


def _job_out(job: Job, *, beside: _Beside, foretold: Forecast) -> JobOut:
    best = beside.best.get(job.id)
    return JobOut(
        id=job.id,
        kind=JobKind(job.kind),
        status=JobStatus(job.status),
        phase=JobPhase(job.phase) if job.phase else None,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        request=_request(job),
        attempt=job.attempt,
        retry_of=job.retry_of,
        sweep_id=job.study_id,
        progress=_progress(job),
        queue=_queue(job, beside, foretold),
        estimated_finish_at=foretold.finish_at,
        metrics=MetricsOut(latest=job.latest_metrics, best=job.best_metrics),
        best_checkpoint=checkpoint_out(best) if best else None,
        report=job.report,
        data_report=job.data_report,
        warnings=job.warnings,
        error=job.error,
        timings=_timings(job),
        model=_model(beside.models.get(job.model_id or "")),
        result_files=job.result_files or [],
        metadata=job.job_metadata,
        spec=stored_spec(job.kind, job.spec),
        requested_spec=job.requested_spec,
    )


def _progress(job: Job) -> ProgressOut:
    """Of a job that is over nothing is still to come."""
    found = ProgressOut.model_validate(job.progress)
    return found.model_copy(update={"eta_seconds": None}) if JobStatus(job.status) in TERMINAL else found


def _request(job: Job) -> RequestOut | None:
    if job.request is None or job.requested_at is None:
        return None
    return RequestOut(action=JobRequest(job.request), requested_at=job.requested_at)


def checkpoint_out(checkpoint: Checkpoint) -> CheckpointOut:
    return CheckpointOut.model_validate(checkpoint, from_attributes=True)


def event_out(event: JobEvent) -> EventOut:
    return EventOut(
        id=ids.event_id(event.job_id, event.number),
        number=event.number,
        created_at=event.created_at,
        level=event.level,
        type=event.type,
        message=event.message,
        data=event.data,
    )


def _queue(job: Job, beside: _Beside, foretold: Forecast) -> QueueOut | None:
    place = beside.places.get(job.id)
    if place is None:
        return None
    missing = hardware.what_is_missing(Asked.by(job.spec), beside.workers)
    return QueueOut(position=place, estimated_start_at=foretold.start_at, waits_for=missing)


def _model(model: Model | None) -> JobModelOut | None:
    if model is None:
        return None
    return JobModelOut(id=model.id, weights_sha256=model.weights_sha256, base_model=model.base_model or "")


def _timings(job: Job) -> dict[str, float]:
    """Seconds, of the job as a whole and of the phases of its last attempt."""
    timings = dict(job.timings)
    if job.started_at:
        timings["queued_seconds"] = (job.started_at - job.created_at).total_seconds()
        if job.finished_at:
            timings["run_seconds"] = (job.finished_at - job.started_at).total_seconds()
    return timings
