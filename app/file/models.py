"""Tables of the file noun."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, Instant, Json, Owned


class File(Owned, Base):
    """An uploaded data file that was checked and can be trained on, or what a job wrote."""

    __tablename__ = "files"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    filename: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str] = mapped_column(String(32))
    format: Mapped[str] = mapped_column(String(16))
    """jsonl, csv, parquet or zip."""
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(Text)
    """Relative to the artefacts folder."""
    profile: Mapped[dict[str, Any]] = mapped_column(Json)
    """An ``app.dataset.profile.DatasetProfile``; empty for a file that has no rows, such as an archive."""
    job_id: Mapped[str | None] = mapped_column(String(64))
    """The job that wrote it."""
    created_at: Mapped[datetime] = mapped_column(Instant)
    expires_at: Mapped[datetime | None] = mapped_column(Instant, index=True)
    """When it may be deleted, unless a job still needs it; unset: never."""

    __table_args__ = (Index("ix_files_project", "project_id", "id"),)
