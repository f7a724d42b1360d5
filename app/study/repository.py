"""SQL of the study noun."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete as sql_delete
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import caller
from app.job.models import Job
from app.model.models import Model
from app.study.models import Study, Trial
from app.study.states import TERMINAL, StudyStatus


def get(session: Session, study_id: str) -> Study | None:
    return session.get(Study, study_id)


def get_locked(session: Session, study_id: str) -> Study:
    """The study as it is now. Whoever has this lock alone changes its trials (on SQLite every transaction is alone)."""
    return session.get_one(Study, study_id, with_for_update=True, populate_existing=True)


def find_locked(session: Session, study_id: str) -> Study | None:
    """The same of a study that may be deleted meanwhile: None if it is."""
    return session.get(Study, study_id, with_for_update=True, populate_existing=True)


def delete(session: Session, study_id: str) -> None:
    """With its trials; their jobs stay."""
    session.execute(sql_delete(Trial).where(Trial.study_id == study_id))
    session.execute(sql_delete(Study).where(Study.id == study_id))


def first_ended_before(session: Session, moment: datetime) -> str | None:
    """The oldest of those that ended before then."""
    query = select(Study.id).where(Study.status.in_(TERMINAL), Study.finished_at < moment)
    return session.scalar(query.order_by(Study.id).limit(1))


def page(session: Session, *, status: StudyStatus | None, after: str | None, limit: int) -> Sequence[Study]:
    """Newest first, one row more than ``limit`` if there is more."""
    query = select(Study).order_by(Study.id.desc()).limit(limit + 1)
    if status is not None:
        query = query.where(Study.status == status)
    if after is not None:
        query = query.where(Study.id < after)
    return session.scalars(query).all()


def unfinished(session: Session) -> Sequence[tuple[str, str]]:
    """Ids of studies that are not over and of their projects, the oldest first."""
    query = select(Study.id, Study.project_id).where(Study.status.not_in(TERMINAL)).order_by(Study.id)
    return [(study_id, project_id) for study_id, project_id in session.execute(query)]


def by_key(session: Session, key: str) -> Study | None:
    """That of the project for which is worked."""
    return session.scalar(select(Study).where(Study.project_id == caller.project_id(), Study.idempotency_key == key))


def forget_keys(session: Session, *, created_before: datetime) -> None:
    """Idempotency keys of studies that are older."""
    session.execute(
        update(Study)
        .where(Study.idempotency_key.is_not(None), Study.created_at < created_before)
        .values(idempotency_key=None)
        .execution_options(synchronize_session=False)
    )


def trials(session: Session, study_id: str) -> list[tuple[Trial, Job | None]]:
    """All trials in the order of their numbers, each with its job as it is now."""
    query = (
        select(Trial, Job)
        .outerjoin(Job, Job.id == Trial.job_id)
        .where(Trial.study_id == study_id)
        .order_by(Trial.number)
        .execution_options(populate_existing=True)
    )
    return [(trial, job) for trial, job in session.execute(query)]


def trial(session: Session, study_id: str, number: int) -> Trial | None:
    return session.get(Trial, (study_id, number))


def states(session: Session, study_ids: Sequence[str]) -> list[tuple[str, str]]:
    """Id of the study and state of each of its trials."""
    query = select(Trial.study_id, Trial.state).where(Trial.study_id.in_(study_ids))
    return [(study_id, state) for study_id, state in session.execute(query)]


def best_trials(session: Session, study_ids: Sequence[str]) -> dict[str, tuple[Trial, str | None]]:
    """By study the best trial so far, and the id of its model if that is there."""
    query = (
        select(Trial, Model.id)
        .join(Study, Study.id == Trial.study_id)
        .outerjoin(Model, Model.job_id == Trial.job_id)
        .where(Trial.number == Study.best_number, Study.id.in_(study_ids))
    )
    return {trial.study_id: (trial, model_id) for trial, model_id in session.execute(query)}


def models_of_jobs(session: Session, job_ids: Sequence[str]) -> Sequence[Model]:
    """Those that are there."""
    return session.scalars(select(Model).where(Model.job_id.in_(job_ids))).all()
