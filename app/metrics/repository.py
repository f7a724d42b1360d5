"""SQL of what Prometheus is told of the database: each query reads an index, or few rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session, load_only

from app.job.models import Job
from app.job.states import TERMINAL, JobStatus
from app.metrics.models import StoredTally
from app.webhook.models import WebhookDelivery
from app.webhook.states import DeliveryState

LIVE: Final = tuple(status for status in JobStatus if status not in TERMINAL)


def tallies(session: Session) -> Sequence[tuple[str, str, float]]:
    """Name, labels and value of all that is counted."""
    query = select(StoredTally.name, StoredTally.labels, StoredTally.value)
    return [(name, labels, value) for name, labels, value in session.execute(query)]


def num_live_jobs(session: Session) -> dict[tuple[str, str], int]:
    """Of those that have not ended, by kind and status."""
    query = select(Job.kind, Job.status, func.count()).where(Job.status.in_(LIVE)).group_by(Job.status, Job.kind)
    return {(kind, status): number for kind, status, number in session.execute(query)}


def oldest_queued_at(session: Session) -> datetime | None:
    """When the job that waits for longest was submitted: ids are in the order of their making."""
    query = select(Job.created_at).where(Job.status == JobStatus.QUEUED).order_by(Job.id).limit(1)
    return session.scalar(query)


def running_jobs(session: Session, *, limit: int) -> Sequence[Job]:
    """With their progress."""
    query = select(Job).where(Job.status == JobStatus.RUNNING).order_by(Job.id).limit(limit)
    return session.scalars(query.options(load_only(Job.kind, Job.progress))).all()


def num_pending_deliveries(session: Session) -> int:
    query = select(func.count()).select_from(WebhookDelivery).where(WebhookDelivery.state == DeliveryState.PENDING)
    return session.scalar(query) or 0
