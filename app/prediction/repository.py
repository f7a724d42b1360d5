"""Queries of the prediction noun: whom a reference to a model means."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.job.models import Job
from app.model.models import Model


def model(session: Session, model_id: str) -> Model | None:
    return session.get(Model, model_id)


def model_of_job(session: Session, job_id: str) -> Model | None:
    return session.scalar(select(Model).where(Model.job_id == job_id))


def job(session: Session, job_id: str) -> Job | None:
    return session.get(Job, job_id)
