"""SQL of the model noun."""

from collections.abc import Sequence

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from app.job.models import Job
from app.job.states import TERMINAL
from app.model.models import Model
from app.study.models import Study
from app.study.states import TERMINAL as STUDY_IS_OVER


def get(session: Session, model_id: str) -> Model | None:
    return session.get(Model, model_id)


def by_id(session: Session, model_ids: Sequence[str]) -> dict[str, Model]:
    """Those of them that are there."""
    return {model.id: model for model in session.scalars(select(Model).where(Model.id.in_(model_ids)))}


def page(session: Session, *, after: Model | None, limit: int) -> Sequence[Model]:
    """Newest first, one row more than ``limit`` if there is more."""
    query = select(Model).order_by(Model.created_at.desc(), Model.id.desc()).limit(limit + 1)
    if after is not None:
        older = Model.created_at < after.created_at
        query = query.where(or_(older, and_(Model.created_at == after.created_at, Model.id < after.id)))
    return session.scalars(query).all()


def all_paths(session: Session) -> set[str]:
    """Every model's folder, relative to the artefacts folder."""
    return set(session.scalars(select(Model.path)))


def needed_bases(session: Session) -> set[str]:
    """Hashes of the bases that adapters are served on."""
    return set(session.scalars(select(Model.base_sha256).where(Model.base_sha256.is_not(None)).distinct()))


def unfinished_job_using(session: Session, model_id: str) -> str | None:
    """Id of a job that will still load the model."""
    named = or_(Job.requested_spec["model"].as_string() == model_id, Job.spec["model"].as_string() == model_id)
    query = select(Job.id).where(Job.status.not_in(TERMINAL), named).order_by(Job.id).limit(1)
    return session.scalar(query)


def unfinished_study_using(session: Session, model_id: str) -> str | None:
    """Id of a study that will still begin jobs from the model."""
    query = select(Study.id).where(Study.status.not_in(STUDY_IS_OVER), Study.base_spec["model"].as_string() == model_id)
    return session.scalar(query.order_by(Study.id).limit(1))
