"""Tables of the job noun."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    desc,
    false,
    inspect,
    select,
)
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import Mapped, mapped_column, with_loader_criteria
from sqlalchemy.orm.util import LoaderCriteriaOption

from app import caller
from app.db import Base, Instant, Json, Owned, seen_with_its_owner
from app.spec.kinds import JobKind
from app.spec.resources import Asked

BigId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only in a column of type INTEGER."""


def _asked(name: str) -> Callable[[DefaultExecutionContext], Any]:
    """A column's default: what the spec that is stored with it asks for."""

    def default(context: DefaultExecutionContext) -> Any:
        spec = context.get_current_parameters()["spec"]  # type: ignore[no-untyped-call] # SQLAlchemy's own
        return getattr(Asked.by(spec), name)

    return default


class Job(Owned, Base):
    """A user's request and all that became of it. ``token`` fences off attempts that lost their lease."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), default=JobKind.TRAINING, server_default=JobKind.TRAINING)
    status: Mapped[str] = mapped_column(String(16))
    phase: Mapped[str | None] = mapped_column(String(16))
    spec: Mapped[dict[str, Any]] = mapped_column(Json)
    """The spec with everything filled in that is known so far."""
    requested_spec: Mapped[dict[str, Any]] = mapped_column(Json)
    """The spec as it was sent."""
    job_metadata: Mapped[dict[str, str]] = mapped_column("metadata", Json)
    priority: Mapped[int] = mapped_column(Integer, default=0)
    nodes: Mapped[int] = mapped_column(Integer, default=_asked("nodes"), server_default="1")
    gpus: Mapped[int] = mapped_column(Integer, default=_asked("gpus"), server_default="1")
    """That it takes on each worker that has any."""
    needs_gpus: Mapped[bool] = mapped_column(Boolean, default=_asked("needs_gpus"), server_default=false())
    """It does not run without."""
    gpu_memory_bytes: Mapped[int] = mapped_column(BigInteger, default=_asked("gpu_memory_bytes"), server_default="0")
    """That each of them has at least. All these: what the spec's ``resources`` ask for, where a claim can look for it in a long queue."""
    contract_version: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    """What a worker must know (``app.spec.version``) to do it as the spec says."""
    retry_of: Mapped[str | None] = mapped_column(String(64))
    """The job whose spec this one was made from."""
    study_id: Mapped[str | None] = mapped_column(String(64))
    """The study that it is a trial of."""
    trace_parent: Mapped[str | None] = mapped_column(String(64))
    """W3C's ``traceparent`` of the request that submitted it, where traces are sent."""

    created_at: Mapped[datetime] = mapped_column(Instant)
    not_before: Mapped[datetime] = mapped_column(Instant)
    started_at: Mapped[datetime | None] = mapped_column(Instant)
    claimed_at: Mapped[datetime | None] = mapped_column(Instant)
    """When the newest attempt began."""
    finished_at: Mapped[datetime | None] = mapped_column(Instant)
    request: Mapped[str | None] = mapped_column(String(8))
    """A ``JobRequest`` that is to be done, or was what ended the job."""
    requested_at: Mapped[datetime | None] = mapped_column(Instant)

    attempt: Mapped[int] = mapped_column(Integer, default=0)
    token: Mapped[int] = mapped_column(Integer, default=0)
    worker_id: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(Instant)
    num_crashes: Mapped[int] = mapped_column(Integer, default=0)
    num_losses: Mapped[int] = mapped_column(Integer, default=0)
    last_event_number: Mapped[int] = mapped_column(Integer, default=0)

    progress: Mapped[dict[str, Any]] = mapped_column(Json)
    latest_metrics: Mapped[dict[str, Any] | None] = mapped_column(Json)
    best_metrics: Mapped[dict[str, Any] | None] = mapped_column(Json)
    report: Mapped[dict[str, Any] | None] = mapped_column(Json)
    data_report: Mapped[dict[str, Any] | None] = mapped_column(Json)
    warnings: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    error: Mapped[dict[str, Any] | None] = mapped_column(Json)
    timings: Mapped[dict[str, float]] = mapped_column(Json)
    model_id: Mapped[str | None] = mapped_column(String(255))
    """Of the model that it made."""
    result_files: Mapped[list[str] | None] = mapped_column(Json)
    """Ids of the files that it made."""

    __table_args__ = (
        Index("ix_jobs_queue", "status", "project_id", desc("priority"), "id"),
        Index("ix_jobs_turns", "project_id", "claimed_at"),
        Index("ix_jobs_counts", "status", "kind", "id"),
        Index("ix_jobs_nodes", "status", "nodes"),
        Index("ix_jobs_lease", "status", "lease_until"),
        Index("ix_jobs_status", "status", "id"),
        Index("ix_jobs_kind", "kind", "id"),
        Index("ix_jobs_study", "study_id", "id"),
        Index("ix_jobs_project", "project_id", "id"),
        Index("ix_jobs_project_status", "project_id", "status", "id"),
        Index("ix_jobs_project_kind", "project_id", "kind", "id"),
    )


class PartOfJob:
    """A row that belongs to whom its job belongs to."""

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))


_JOBS: Final = inspect(Job).local_table.alias()
"""Statements may hold the table itself."""


@seen_with_its_owner
def _with_its_job(project_id: str) -> LoaderCriteriaOption:
    return with_loader_criteria(
        PartOfJob,
        lambda part: select(_JOBS.c.id).where(_JOBS.c.id == part.job_id, _JOBS.c.project_id == project_id).exists(),
        include_aliases=True,
    )


class IdempotencyKey(Owned, Base):
    """A request that was accepted under a name of the client's: the same request again means the same job."""

    __tablename__ = "idempotency_keys"

    project_id: Mapped[str] = mapped_column(
        String(64), default=caller.project_id, server_default=caller.DEFAULT_PROJECT, primary_key=True, sort_order=-1
    )
    """Two projects may use the same key."""
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(Instant, index=True)


class Attempt(PartOfJob, Base):
    """The nth execution of a job: the ledger of which steps it did."""

    __tablename__ = "attempts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    token: Mapped[int] = mapped_column(Integer)
    worker_id: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[datetime] = mapped_column(Instant)
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    outcome: Mapped[str | None] = mapped_column(String(32))
    """succeeded, failed, cancelled, drained, crashed, lost, or ungathered: too few workers came for it to start."""
    resumed_from_step: Mapped[int | None] = mapped_column(Integer)
    last_step: Mapped[int | None] = mapped_column(Integer)


class JobEvent(PartOfJob, Base):
    """What happened to a job, numbered without a gap under the lock of the job's row."""

    __tablename__ = "job_events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    number: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(Instant)
    level: Mapped[str] = mapped_column(String(8))
    type: Mapped[str] = mapped_column(String(16))
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any] | None] = mapped_column(Json)

    __table_args__ = (UniqueConstraint("job_id", "number"),)


class MetricPoint(PartOfJob, Base):
    """One value of one metric at one step; an attempt that repeats a step overwrites it."""

    __tablename__ = "job_metrics"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    step: Mapped[int] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(String(128))
    epoch: Mapped[float] = mapped_column()
    value: Mapped[float] = mapped_column()
    created_at: Mapped[datetime] = mapped_column(Instant)

    __table_args__ = (UniqueConstraint("job_id", "step", "name"),)


class JobMistakes(PartOfJob, Base):
    """The worst wrong answers of the chosen checkpoint in one split. They quote the data, and go with the job."""

    __tablename__ = "job_mistakes"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    split: Mapped[str] = mapped_column(String(16), primary_key=True)
    rows_of: Mapped[str] = mapped_column(String(16))
    """The split whose rows are counted."""
    num_examples: Mapped[int] = mapped_column(Integer)
    num_wrong: Mapped[int | None] = mapped_column(Integer)
    """Of all examples; of numbers none."""
    mistakes: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    """``app.spec.mistakes.Mistake``, worst first: a few hundred at most, with short texts."""


class Checkpoint(PartOfJob, Base):
    """A committed checkpoint: its folder holds a manifest with the hash of every file."""

    __tablename__ = "checkpoints"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    attempt: Mapped[int] = mapped_column(Integer)
    step: Mapped[int] = mapped_column(Integer)
    epoch: Mapped[float] = mapped_column()
    path: Mapped[str] = mapped_column(Text)
    """Relative to the jobs folder."""
    manifest_sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    metrics: Mapped[dict[str, Any]] = mapped_column(Json)
    is_best: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str] = mapped_column(String(16), default="committed")
    """committed, or corrupt once a load found it so, or deleted by rotation."""
    created_at: Mapped[datetime] = mapped_column(Instant)


class NodeSeat(PartOfJob, Base):
    """A place of a worker in an attempt that several workers run together; it is there for as long as the attempt runs."""

    __tablename__ = "node_seats"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    token: Mapped[int] = mapped_column(Integer, primary_key=True)
    """That of the attempt."""
    node_rank: Mapped[int] = mapped_column(Integer, primary_key=True)
    """0 is the worker that claimed the job."""
    state: Mapped[str] = mapped_column(String(8))
    """A ``SeatState`` (``app.job.seats``)."""
    worker_id: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(Instant)
    """Of seat 0 none: the job's own lease is its."""
    endpoint: Mapped[str | None] = mapped_column(String(300))
    """Of seat 0, once all others are taken: ``host:port`` where the nodes meet."""
    error: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """Why the share of this node ended, if it did not end well: ``code, message, hint``."""

    __table_args__ = (Index("ix_node_seats_state", "state"),)


class WorkerPresence(Base):
    """A worker process that has been heard of; it renews ``seen_at`` (the database's clock) with every sweep."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Fresh for each start of a process, so that a restarted worker is not taken for its predecessor."""
    host: Mapped[str] = mapped_column(Text)
    """Names the running system and its process namespace: where ``pid`` means something."""
    pid: Mapped[int] = mapped_column(Integer)
    process_started: Mapped[int] = mapped_column(BigInteger)
    """With ``pid`` it names the process (``app.host.process_started``)."""
    slots: Mapped[int] = mapped_column(Integer)
    name: Mapped[str | None] = mapped_column(String(255))
    """Of the machine, or of the container."""
    takes: Mapped[str] = mapped_column(String(8), default="any", server_default="any")
    """Which jobs (``app.job.hardware.Takes``)."""
    cpus: Mapped[int | None] = mapped_column(Integer)
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    gpus: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list, server_default="[]")
    """That it lends to jobs, each with ``name`` and ``memory_bytes``."""
    started_at: Mapped[datetime] = mapped_column(Instant)
    seen_at: Mapped[datetime] = mapped_column(Instant)
