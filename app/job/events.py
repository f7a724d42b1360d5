"""Append to a job's story. Must be called inside the transaction of the change it tells of."""

from typing import Any, Literal

from sqlalchemy.orm import Session

from app.clock import utc_now
from app.job import records
from app.job.models import JobEvent

Level = Literal["info", "warn", "error"]


def append(
    session: Session,
    job_id: str,
    message: str,
    *,
    level: Level = "info",
    kind: str = "message",
    data: dict[str, Any] | None = None,
) -> JobEvent:
    """The event, numbered. Locks the job's row until the transaction ends."""
    event = JobEvent(
        job_id=job_id,
        number=records.next_event_number(session, job_id),
        created_at=utc_now(),
        level=level,
        type=kind,
        message=message,
        data=data,
    )
    session.add(event)
    return event
