"""Queries of the prediction noun: whom a reference to a model means."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.job.models import Job
from app.model.models import Model
from app.study.models import Study, Trial


def model(session: Session, model_id: str) -> Model | None:
    return session.get(Model, model_id)


def model_of_job(session: Session, job_id: str) -> Model | None:
    return session.scalar(select(Model).where(Model.job_id == job_id))


def job(session: Session, job_id: str) -> Job | None:
    return session.get(Job, job_id)


def study(session: Session, study_id: str) -> Study | None:
    return session.get(Study, study_id)


def best_job_of_study(session: Session, study_id: str) -> str | None:
    """Id of the job of the best trial so far."""
    query = select(Trial.job_id).join(Study, Study.id == Trial.study_id)
    return session.scalar(query.where(Study.id == study_id, Trial.number == Study.best_number))
