"""SQL of the job noun. A write by an attempt carries its token; the number of rows hit tells whether it still owns the job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, exists, func, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session, load_only

from app import ids
from app.job import turns
from app.job.models import Attempt, Job, WorkerPresence
from app.job.states import TERMINAL, JobStatus
from app.spec.kinds import JobKind
from app.spec.version import CONTRACT_VERSION


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right of one attempt to write to its job, until another claim raises the token."""

    job_id: str
    attempt: int
    token: int
    worker_id: str


def get(session: Session, job_id: str) -> Job | None:
    return session.get(Job, job_id)


def get_locked(session: Session, job_id: str) -> Job:
    """The job as it is now, unchanged by others until the transaction ends (on SQLite every transaction is alone)."""
    return session.get_one(Job, job_id, with_for_update=True, populate_existing=True)


def find_locked(session: Session, job_id: str) -> Job | None:
    """The same of a job that may be deleted meanwhile: None if it is."""
    return session.get(Job, job_id, with_for_update=True, populate_existing=True)


def ended_before(session: Session, moment: datetime, *, limit: int) -> Sequence[str]:
    """Jobs that ended before then and are no trials, the oldest first."""
    # What ended before then was made before then: its id says so, and spares looking at all that are younger.
    made_before = ids.least_at(ids.JOB, moment)
    query = select(Job.id).where(Job.id < made_before, Job.study_id.is_(None))
    query = query.where(Job.status.in_(TERMINAL), Job.finished_at < moment)
    return session.scalars(query.order_by(Job.id).limit(limit)).all()


def existing_ids(session: Session, job_ids: Sequence[str]) -> set[str]:
    return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids))))


def page(
    session: Session,
    *,
    status: JobStatus | None,
    kind: JobKind | None,
    metadata: Mapping[str, str],
    study_id: str | None = None,
    after: str | None,
    limit: int,
) -> Sequence[Job]:
    """Newest first, one row more than ``limit`` if there is more."""
    query = select(Job).order_by(Job.id.desc()).limit(limit + 1)
    if status is not None:
        query = query.where(Job.status == status)
    if kind is not None:
        query = query.where(Job.kind == kind)
    if study_id is not None:
        query = query.where(Job.study_id == study_id)
    if after is not None:
        query = query.where(Job.id < after)
    for key, value in metadata.items():
        query = query.where(_has_metadata(session, key, value))
    return session.scalars(query).all()


def _has_metadata(session: Session, key: str, value: str) -> ColumnElement[bool]:
    if session.get_bind().dialect.name != "sqlite":
        note: ColumnElement[str | None] = Job.job_metadata[key].as_string()
        return note == value
    # A key is no path: SQLite's paths cannot name one with a quotation mark or a backslash.
    pair = func.json_each(Job.job_metadata).table_valued("key", "value")
    return exists().where(pair.c.key == key, pair.c.value == value)


def count_queued(session: Session, project_id: str) -> int:
    query = select(func.count()).select_from(Job).where(Job.project_id == project_id, Job.status == JobStatus.QUEUED)
    return session.scalar(query) or 0


def running(session: Session, *, limit: int) -> Sequence[Job]:
    return session.scalars(select(Job).where(Job.status == JobStatus.RUNNING).limit(limit)).all()


def who_runs_what(session: Session) -> Sequence[tuple[str, str, str]]:
    """Workers, the jobs that they run, and the projects of those."""
    query = select(Job.worker_id, Job.id, Job.project_id).where(
        Job.status == JobStatus.RUNNING, Job.worker_id.is_not(None)
    )
    return [(worker_id or "", job_id, project_id) for worker_id, job_id, project_id in session.execute(query)]


def succeeded_last(session: Session, *, kind: JobKind, limit: int) -> Sequence[Job]:
    """Those that were submitted last, without their reports."""
    query = select(Job).where(Job.kind == kind, Job.status == JobStatus.SUCCEEDED).order_by(Job.id.desc()).limit(limit)
    query = query.options(load_only(Job.kind, Job.spec, Job.data_report, Job.progress, Job.started_at, Job.finished_at))
    return session.scalars(query).all()


def eligible_above(session: Session, *, limits: Mapping[str, int], now: datetime) -> Sequence[Job]:
    """Eligible jobs that ask for more of a resource, such as ``{"gpus": 2}``, the oldest first; at most 100."""
    too_many = or_(*(getattr(Job, resource) > most for resource, most in limits.items()))
    query = select(Job).where(Job.status == JobStatus.QUEUED, Job.not_before <= now, too_many)
    return session.scalars(query.order_by(Job.id).limit(100)).all()


def has_eligible(session: Session, *, now: datetime) -> bool:
    query = select(Job.id).where(Job.status == JobStatus.QUEUED, *_eligible(now)).limit(1)
    return session.scalar(query) is not None


def _eligible(now: datetime) -> list[ColumnElement[bool]]:
    """What holds of a waiting job whose time has come, and which a worker of this version knows how to run."""
    return [Job.not_before <= now, Job.contract_version <= CONTRACT_VERSION]


def claim_next(
    session: Session,
    *,
    worker_id: str,
    now: datetime,
    lease_until: datetime,
    fits: Sequence[ColumnElement[bool]],
    least_priority: int | None = None,
) -> Job | None:
    """Take the best eligible job of the project whose turn it is; None if no project has one.

    ``fits``: what must hold of the job.
    """
    fits = [*_eligible(now), *fits]
    if least_priority is not None:
        fits.append(Job.priority >= least_priority)
    for project in turns.in_order(session, fits=fits):
        job = _claim_of(session, project, fits=fits, worker_id=worker_id, now=now, lease_until=lease_until)
        if job is not None:
            return job
    return None


def _claim_of(
    session: Session,
    project: str,
    *,
    fits: Sequence[ColumnElement[bool]],
    worker_id: str,
    now: datetime,
    lease_until: datetime,
) -> Job | None:
    """Take the project's best job in one statement; None if others hold all of them. SKIP LOCKED keeps claimers apart."""
    chosen = turns.best_of(project, fits=fits).limit(1).with_for_update(skip_locked=True).scalar_subquery()
    statement = (
        update(Job)
        .where(Job.id == chosen, Job.status == JobStatus.QUEUED)
        .values(
            status=JobStatus.RUNNING,
            phase=None,
            attempt=Job.attempt + 1,
            token=Job.token + 1,
            worker_id=worker_id,
            lease_until=lease_until,
            claimed_at=now,
            started_at=func.coalesce(Job.started_at, now),
        )
        .returning(Job)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    return session.scalars(statement).one_or_none()


def update_claimed(session: Session, claim: Claim, values: Mapping[str, Any]) -> int:
    """Rows hit: 0 means the claim is lost."""
    result = session.execute(
        update(Job)
        .where(Job.id == claim.job_id, Job.token == claim.token, Job.status == JobStatus.RUNNING)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return _rows(result)


def change_status(session: Session, job_id: str, *, current: JobStatus, token: int, values: Mapping[str, Any]) -> int:
    """Conditional change by someone who does not hold the claim (cancel of a queued job, the sweep)."""
    result = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.status == current, Job.token == token)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return _rows(result)


def expired(session: Session, *, now: datetime) -> Sequence[Job]:
    """Running jobs whose lease has ended, locked so that none is renewed or cancelled meanwhile; at most 100."""
    query = select(Job).where(Job.status == JobStatus.RUNNING, Job.lease_until < now).limit(100)
    return session.scalars(query.with_for_update(skip_locked=True)).all()


def running_of_host(session: Session, *, host: str) -> Sequence[tuple[Job, WorkerPresence]]:
    """Running jobs whose worker lives, or lived, on this host."""
    query = (
        select(Job, WorkerPresence)
        .join(WorkerPresence, WorkerPresence.id == Job.worker_id)
        .where(Job.status == JobStatus.RUNNING, WorkerPresence.host == host)
    )
    return [(job, worker) for job, worker in session.execute(query)]


def attempt(session: Session, claim: Claim) -> Attempt | None:
    return session.get(Attempt, (claim.job_id, claim.attempt))


def attempts(session: Session, job_id: str) -> Sequence[Attempt]:
    """In their order."""
    return session.scalars(select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.number)).all()


def live_slots(session: Session, *, seen_since: datetime) -> int:
    """How many jobs the workers that were heard of can run at a time."""
    return session.scalar(select(func.sum(WorkerPresence.slots)).where(WorkerPresence.seen_at >= seen_since)) or 0


def worker_seen_since(session: Session, moment: datetime) -> bool:
    return session.scalar(select(WorkerPresence.id).where(WorkerPresence.seen_at >= moment).limit(1)) is not None


def _rows(result: Any) -> int:
    assert isinstance(result, CursorResult)
    return int(result.rowcount)
