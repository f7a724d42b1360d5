"""SQL of the audit log."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.audit.models import AuditEvent


def page(session: Session, *, filters: Mapping[str, str], after: str | None, limit: int) -> Sequence[AuditEvent]:
    """Newest first, one more than ``limit`` if there are more. ``filters``: columns and what they must be."""
    query = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(AuditEvent.id < after)
    for column, value in filters.items():
        query = query.where(getattr(AuditEvent, column) == value)
    return session.scalars(query).all()


def forget(session: Session, *, before: datetime) -> None:
    session.execute(delete(AuditEvent).where(AuditEvent.created_at < before))
