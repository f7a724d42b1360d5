"""What OpenAI's clients can ask of fine-tuning jobs: the same use cases as of the native API, for the jobs that train."""

from collections.abc import Callable, Mapping

from app.job import service, submission
from app.job.acceptance import Submitted
from app.job.schemas import JobOut
from app.openai import jobs
from app.openai.job_request import FineTuningRequest, job_spec
from app.openai.jobs import FineTuningCheckpoint, FineTuningEvent, FineTuningJob, fine_tuning_job, job_page
from app.openai.pages import Page
from app.spec.kinds import JobKind


def create(request: FineTuningRequest, *, idempotency_key: str | None) -> Submitted:
    """Raises as ``job_spec`` and ``app.job.submission.submit`` do."""
    return submission.submit(job_spec(request), idempotency_key=idempotency_key)


def get(job_id: str) -> FineTuningJob:
    """Raises NotFound, also for a job of another kind: clients could not read it."""
    return fine_tuning_job(_found(job_id))


def page(*, metadata: Mapping[str, str], after: str | None, limit: int) -> Page[FineTuningJob]:
    """Newest first. Raises InvalidRequest if ``after`` is no job id."""
    return job_page(service.list_jobs(status=None, kind=JobKind.TRAINING, metadata=metadata, after=after, limit=limit))


def change(job_id: str, action: Callable[[str], JobOut]) -> FineTuningJob:
    """Do what ``app.job.requests`` has for that; raises as it does, and NotFound for a job of another kind."""
    _found(job_id)
    return fine_tuning_job(action(job_id))


def events(job_id: str, *, after: str | None, limit: int) -> Page[FineTuningEvent]:
    """Newest first; ``after`` is an event id. Raises NotFound or InvalidRequest."""
    _found(job_id)
    return jobs.event_page(service.list_events(job_id, after=after, limit=limit, newest_first=True))


def checkpoints(job_id: str, *, after: str | None, limit: int) -> Page[FineTuningCheckpoint]:
    """Newest first; ``after`` is a checkpoint id. Raises NotFound or InvalidRequest."""
    job = _found(job_id)
    left = jobs.left_after(service.list_checkpoints(job_id).data, after)
    told = left[:limit]
    measured = service.metrics_at(job_id, steps=[checkpoint.step for checkpoint in told])
    return jobs.checkpoint_page(told, measured=measured, job=job, has_more=len(left) > limit)


def _found(job_id: str) -> JobOut:
    return service.get_job(job_id, kind=JobKind.TRAINING)
