"""SQL of the file noun."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Integer, func, or_, select
from sqlalchemy.orm import Session, defer

from app.file.models import File
from app.job.models import Job
from app.job.states import TERMINAL
from app.model.models import Model
from app.study.models import Study
from app.study.states import TERMINAL as STUDY_IS_OVER

_SPLITS = ("train", "validation", "test")


def add(session: Session, file: File) -> None:
    session.add(file)
    session.flush()


def get(session: Session, file_id: str) -> File | None:
    return session.get(File, file_id)


def get_locked(session: Session, file_id: str) -> File | None:
    """The file, held against deletion until the transaction ends (on SQLite every transaction is alone anyway)."""
    return session.get(File, file_id, with_for_update=True)


def hold(session: Session, file_ids: Sequence[str]) -> set[str]:
    """Those that exist, held against deletion until the transaction ends; others may hold them too."""
    query = select(File.id).where(File.id.in_(file_ids)).with_for_update(read=True, key_share=True)
    return set(session.scalars(query))


def page(
    session: Session, *, purpose: str | None, after: str | None, limit: int, oldest_first: bool
) -> Sequence[tuple[File, int | None]]:
    """Files without their profiles, and their numbers of rows (None: it has none); one more than ``limit`` if there is more."""
    num_rows = File.profile["num_rows"].as_integer()
    query = select(File, num_rows.cast(Integer)).options(defer(File.profile, raiseload=True))
    if after is not None:
        query = query.where(File.id > after if oldest_first else File.id < after)
    if purpose is not None:
        query = query.where(File.purpose == purpose)
    query = query.order_by(File.id if oldest_first else File.id.desc())
    return [(file, rows) for file, rows in session.execute(query.limit(limit + 1))]


def stored_bytes(session: Session, project_id: str) -> int:
    """Of all files and models of the project."""
    sums = [select(func.sum(table.size_bytes)).where(table.project_id == project_id) for table in (File, Model)]
    return sum(int(session.scalar(query) or 0) for query in sums)


def expired_ids(session: Session, *, moment: datetime) -> Sequence[str]:
    """Of files that may be deleted since then; at most 1,000."""
    return session.scalars(select(File.id).where(File.expires_at <= moment).order_by(File.expires_at).limit(1000)).all()


def existing_ids(session: Session, file_ids: Sequence[str]) -> set[str]:
    return set(session.scalars(select(File.id).where(File.id.in_(file_ids))))


def unfinished_study_using(session: Session, file_id: str) -> str | None:
    """Id of a study that will still begin jobs on this file."""
    splits = [Study.base_spec["dataset"][split].as_string() == file_id for split in _SPLITS]
    return session.scalar(select(Study.id).where(Study.status.not_in(list(STUDY_IS_OVER)), or_(*splits)).limit(1))


def unfinished_job_using(session: Session, file_id: str) -> str | None:
    """Id of a job that is not terminal and whose data this file is, or whose rows it predicts."""
    splits = [Job.spec["dataset"][split].as_string() == file_id for split in _SPLITS]
    uses = or_(*splits, Job.spec["file"].as_string() == file_id)
    return session.scalar(select(Job.id).where(Job.status.not_in(list(TERMINAL)), uses).limit(1))
