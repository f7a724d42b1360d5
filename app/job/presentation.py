"""Rows into answers."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app import ids
from app.job import repository
from app.job.forecast import NOTHING, Forecast
from app.job.models import Checkpoint, Job, JobEvent
from app.job.schemas import CheckpointOut, EventOut, JobModelOut, JobOut, MetricsOut, ProgressOut, QueueOut, RequestOut
from app.job.states import TERMINAL, JobPhase, JobRequest, JobStatus
from app.model.models import Model
from app.spec.job import JobSpec


def job_out(session: Session, job: Job, *, foretold: Forecast = NOTHING) -> JobOut:
    return JobOut(
        id=job.id,
        status=JobStatus(job.status),
        phase=JobPhase(job.phase) if job.phase else None,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        request=_request(job),
        attempt=job.attempt,
        retry_of=job.retry_of,
        progress=_progress(job),
        queue=_queue(session, job, foretold),
        estimated_finish_at=foretold.finish_at,
        metrics=MetricsOut(latest=job.latest_metrics, best=job.best_metrics),
        best_checkpoint=_best(repository.checkpoints(session, job.id, committed_only=True)),
        report=job.report,
        data_report=job.data_report,
        warnings=job.warnings,
        error=job.error,
        timings=_timings(job),
        model=_model(session, job),
        metadata=job.job_metadata,
        spec=JobSpec.model_validate(job.spec),
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


def _queue(session: Session, job: Job, foretold: Forecast) -> QueueOut | None:
    if job.status != JobStatus.QUEUED:
        return None
    return QueueOut(position=repository.queue_position(session, job), estimated_start_at=foretold.start_at)


def _best(saved: Sequence[Checkpoint]) -> CheckpointOut | None:
    best = next((checkpoint for checkpoint in saved if checkpoint.is_best), None)
    return checkpoint_out(best) if best else None


def _model(session: Session, job: Job) -> JobModelOut | None:
    model = session.get(Model, job.model_id) if job.model_id else None
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
