"""What goes with the end of a job, in the transaction of the end itself."""

from sqlalchemy.orm import Session

from app.job.models import Job
from app.job.states import TERMINAL, JobStatus
from app.spec.kinds import JobKind
from app.webhook import outbox


def tell(session: Session, job_id: str, status: JobStatus) -> None:
    """Call whenever a status is written: of one that is terminal webhooks are told, of others nobody."""
    if status in TERMINAL:
        job = session.get_one(Job, job_id)
        outbox.announce_end(session, job_id, project_id=job.project_id, kind=JobKind(job.kind), status=status)
