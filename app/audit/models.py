"""Table of the audit log."""

from datetime import datetime

from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, Instant


class AuditEvent(Base):
    """Who asked for what. Rows are written once, and go when they are old."""

    __tablename__ = "audit_events"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(Instant, index=True)
    project_id: Mapped[str | None] = mapped_column(String(64))
    """Of the caller; None for one that was turned away."""
    key_id: Mapped[str | None] = mapped_column(String(64))
    """That it was asked with; None without keys."""
    action: Mapped[str] = mapped_column(String(64))
    """``job.create``, ``file.delete``: a noun and what became of it."""
    object_id: Mapped[str | None] = mapped_column(String(255))
    """What it was done to."""
    status: Mapped[int] = mapped_column(Integer)
    """Of the answer: 2xx, it was done."""
    client: Mapped[str | None] = mapped_column(String(64))
    """The address that the request came from."""
    request_id: Mapped[str] = mapped_column(String(128))

    __table_args__ = (Index("ix_audit_events_project", "project_id", "id"),)
