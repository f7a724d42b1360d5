"""SQL of what is kept of a job: its events, points of metrics, checkpoints and mistakes."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from app.job.models import Checkpoint, Job, JobEvent, JobMistakes, MetricPoint
from app.job.states import TERMINAL


def next_event_number(session: Session, job_id: str) -> int:
    """Takes the lock of the job's row, so that events are numbered in the order in which they are committed."""
    number = session.scalar(
        update(Job)
        .where(Job.id == job_id)
        .values(last_event_number=Job.last_event_number + 1)
        .returning(Job.last_event_number)
        .execution_options(synchronize_session=False)
    )
    assert number is not None
    return number


def events_after(session: Session, job_id: str, *, number: int, limit: int) -> Sequence[JobEvent]:
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.number > number).order_by(JobEvent.number)
    return session.scalars(query.limit(limit)).all()


def events_before(session: Session, job_id: str, *, number: int | None, limit: int) -> Sequence[JobEvent]:
    """Newest first; ``number`` None: from the newest on."""
    query = select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.number.desc())
    if number is not None:
        query = query.where(JobEvent.number < number)
    return session.scalars(query.limit(limit)).all()


def last_event_numbers(session: Session, job_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
    """By job: the number of its newest event, and its status."""
    rows = session.execute(select(Job.id, Job.last_event_number, Job.status).where(Job.id.in_(job_ids)))
    return {job_id: (number, status) for job_id, number, status in rows}


def upsert_metrics(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert points; a step that is done again overwrites its values."""
    insert = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgres_insert
    for start in range(0, len(rows), 200):
        statement = insert(MetricPoint).values(list(rows[start : start + 200]))
        updated = {name: statement.excluded[name] for name in ("epoch", "value", "created_at")}
        session.execute(statement.on_conflict_do_update(index_elements=["job_id", "step", "name"], set_=updated))


def metrics_after(session: Session, job_id: str, *, after: int, limit: int) -> Sequence[MetricPoint]:
    query = select(MetricPoint).where(MetricPoint.job_id == job_id, MetricPoint.id > after).order_by(MetricPoint.id)
    return session.scalars(query.limit(limit + 1)).all()


def values_of(session: Session, job_ids: Sequence[str], name: str) -> dict[str, list[tuple[int, float, float]]]:
    """By job: step, epoch and value of each point of one metric, in the order of the steps."""
    query = select(MetricPoint).where(MetricPoint.job_id.in_(job_ids), MetricPoint.name == name)
    found: dict[str, list[tuple[int, float, float]]] = {}
    for point in session.scalars(query.order_by(MetricPoint.job_id, MetricPoint.step)):
        found.setdefault(point.job_id, []).append((point.step, point.epoch, point.value))
    return found


def metrics_at(session: Session, job_id: str, *, steps: Sequence[int]) -> Sequence[MetricPoint]:
    return session.scalars(select(MetricPoint).where(MetricPoint.job_id == job_id, MetricPoint.step.in_(steps))).all()


def metric_names(session: Session, job_id: str) -> Sequence[str]:
    """What was measured of the job, in the order in which it was first stored."""
    query = select(MetricPoint.name).where(MetricPoint.job_id == job_id).group_by(MetricPoint.name)
    return session.scalars(query.order_by(func.min(MetricPoint.id))).all()


def metrics_by_step(session: Session, job_id: str) -> Iterator[MetricPoint]:
    """All points of the job, those of a step together, with flat memory."""
    query = select(MetricPoint).where(MetricPoint.job_id == job_id).order_by(MetricPoint.step, MetricPoint.name)
    return iter(session.scalars(query.execution_options(yield_per=1000)))


def checkpoints(session: Session, job_id: str, *, committed_only: bool) -> Sequence[Checkpoint]:
    """Newest first."""
    query = select(Checkpoint).where(Checkpoint.job_id == job_id)
    if committed_only:
        query = query.where(Checkpoint.state == "committed")
    return session.scalars(query.order_by(Checkpoint.step.desc(), Checkpoint.id.desc())).all()


def best_checkpoints(session: Session, job_ids: Sequence[str]) -> dict[str, Checkpoint]:
    """By job, where it has one that is still there."""
    query = select(Checkpoint).where(
        Checkpoint.job_id.in_(job_ids), Checkpoint.is_best.is_(True), Checkpoint.state == "committed"
    )
    return {checkpoint.job_id: checkpoint for checkpoint in session.scalars(query)}


def mark_checkpoints(session: Session, job_id: str, *, paths: Sequence[str], state: str) -> None:
    session.execute(
        update(Checkpoint).where(Checkpoint.job_id == job_id, Checkpoint.path.in_(paths)).values(state=state)
    )


def forget_checkpoints(session: Session, *, ended_before: datetime) -> None:
    """Say of all checkpoints of jobs that ended before then that they are deleted."""
    ended = select(Job.id).where(Job.status.in_(TERMINAL), Job.finished_at < ended_before)
    session.execute(
        update(Checkpoint)
        .where(Checkpoint.state == "committed", Checkpoint.job_id.in_(ended))
        .values(state="deleted")
        .execution_options(synchronize_session=False)
    )


def forget_checkpoints_of(session: Session, job_id: str) -> None:
    """Say of all checkpoints of the job that they are deleted."""
    session.execute(
        update(Checkpoint)
        .where(Checkpoint.state == "committed", Checkpoint.job_id == job_id)
        .values(state="deleted")
        .execution_options(synchronize_session=False)
    )


def clear_best(session: Session, job_id: str) -> None:
    session.execute(update(Checkpoint).where(Checkpoint.job_id == job_id).values(is_best=False))


def put_mistakes(session: Session, job_id: str, *, split: str, **columns: Any) -> None:
    """Of an attempt that measured the split again: in the place of those before."""
    session.merge(JobMistakes(job_id=job_id, split=split, **columns))


def mistakes(session: Session, job_id: str, *, split: str) -> JobMistakes | None:
    return session.get(JobMistakes, (job_id, split))
