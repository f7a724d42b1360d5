"""What goes with the end of a job, in the transaction of the end itself."""

from sqlalchemy.orm import Session

from app.job.models import Job
from app.job.states import TERMINAL, JobStatus
from app.metrics import counting
from app.spec.kinds import JobKind
from app.webhook import outbox


def tell(session: Session, job_id: str, status: JobStatus) -> None:
    """Call whenever a status is written: of one that is terminal webhooks are told, of others nobody."""
    if status in TERMINAL:
        job = session.get_one(Job, job_id, populate_existing=True)
        kind = JobKind(job.kind)
        _count(session, job, status)
        outbox.announce_end(session, job_id, project_id=job.project_id, kind=kind, status=status)


def _count(session: Session, job: Job, status: JobStatus) -> None:
    counting.count(session, "jobs_ended", job.kind, status)
    if status == JobStatus.FAILED and job.error is not None:
        counting.count(session, "failures", job.kind, job.error["code"])
    if job.started_at is not None and job.finished_at is not None:
        seconds = (job.finished_at - job.started_at).total_seconds()
        counting.observe(session, "run", seconds, job.kind, status)
