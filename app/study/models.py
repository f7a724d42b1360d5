"""Tables of the study noun. What a trial costs and gives is its job's: here is only what the job does not know."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ForeignKey, Index, Integer, String, UniqueConstraint, inspect, select
from sqlalchemy.orm import Mapped, mapped_column, with_loader_criteria
from sqlalchemy.orm.util import LoaderCriteriaOption

from app.db import Base, Instant, Json, Owned, seen_with_its_owner


class Study(Owned, Base):
    """A search for the hyperparameters that are best by one metric; users call it a sweep."""

    __tablename__ = "studies"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    spec: Mapped[dict[str, Any]] = mapped_column(Json)
    """A ``SweepSpec`` with everything filled in that is known."""
    requested_spec: Mapped[dict[str, Any]] = mapped_column(Json)
    """The spec as it was sent."""
    base_spec: Mapped[dict[str, Any]] = mapped_column(Json)
    """What the specs of all trials have in common, as it would be sent to ``POST /jobs``."""
    study_metadata: Mapped[dict[str, str]] = mapped_column("metadata", Json)

    created_at: Mapped[datetime] = mapped_column(Instant)
    started_at: Mapped[datetime | None] = mapped_column(Instant)
    """When the first of its jobs began to run, by the database's clock."""
    finished_at: Mapped[datetime | None] = mapped_column(Instant)
    request: Mapped[str | None] = mapped_column(String(8))
    """A ``StudyRequest``."""
    requested_at: Mapped[datetime | None] = mapped_column(Instant)

    best_number: Mapped[int | None] = mapped_column(Integer)
    """Of the best trial so far."""
    importances: Mapped[dict[str, float] | None] = mapped_column(Json)
    """By parameter; 1 together."""
    error: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """Why it is ending, or has ended, as failed."""

    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    """The project's: another may have used the same."""
    request_sha256: Mapped[str] = mapped_column(String(64))

    __table_args__ = (
        UniqueConstraint("project_id", "idempotency_key"),
        Index("ix_studies_status", "status", "id"),
        Index("ix_studies_project", "project_id", "id"),
    )


class Trial(Base):
    """One choice of hyperparameters, and the job that tries it. Stored in the transaction that stores the job."""

    __tablename__ = "trials"

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    """From 0 without a gap, as Optuna counts."""
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), unique=True)
    """None: it was refused before it became a job."""
    params: Mapped[dict[str, Any]] = mapped_column(Json)
    """By the path of the field in a job's spec."""
    state: Mapped[str] = mapped_column(String(16))
    value: Mapped[float | None] = mapped_column()
    error: Mapped[dict[str, Any] | None] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(Instant)
    finished_at: Mapped[datetime | None] = mapped_column(Instant)

    num_judged: Mapped[int] = mapped_column(Integer, default=0)
    """Evaluations that the pruner has seen."""
    pruned_at: Mapped[datetime | None] = mapped_column(Instant)
    """When its job was asked to end. If it had succeeded by then, the trial is complete all the same."""
    optuna_attrs: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    """What Optuna's sampler and pruner noted of the trial (its ``system_attrs``)."""


_STUDIES: Final = inspect(Study).local_table.alias()
"""Statements may hold the table itself."""


@seen_with_its_owner
def _with_its_study(project_id: str) -> LoaderCriteriaOption:
    return with_loader_criteria(
        Trial,
        lambda trial: (
            select(_STUDIES.c.id).where(_STUDIES.c.id == trial.study_id, _STUDIES.c.project_id == project_id).exists()
        ),
        include_aliases=True,
    )
