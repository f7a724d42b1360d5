"""SQL of the key noun."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from app.key.models import ApiKey, Project


def any_key(session: Session) -> bool:
    """Whether there was ever one; those that are revoked or expired count."""
    return session.scalar(select(ApiKey.id).limit(1)) is not None


def by_prefix(session: Session, prefix: str) -> ApiKey | None:
    return session.scalar(select(ApiKey).where(ApiKey.prefix == prefix))


def get(session: Session, key_id: str) -> ApiKey | None:
    return session.get(ApiKey, key_id)


def all_keys(session: Session) -> Sequence[ApiKey]:
    """Newest first."""
    return session.scalars(select(ApiKey).order_by(ApiKey.id.desc())).all()


def note_use(session: Session, key_id: str, *, moment: datetime, unless_since: datetime) -> None:
    """Several processes may do so at once: a later one finds it done."""
    is_older = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < unless_since)
    session.execute(update(ApiKey).where(ApiKey.id == key_id, is_older).values(last_used_at=moment))


def project(session: Session, name_or_id: str) -> Project | None:
    """An id goes before a name."""
    found = session.get(Project, name_or_id)
    return found or session.scalar(select(Project).where(Project.name == name_or_id))


def project_locked(session: Session, project_id: str) -> Project | None:
    """As it is now, for one transaction at a time (on SQLite every transaction is alone)."""
    return session.get(Project, project_id, with_for_update=True, populate_existing=True)


def all_projects(session: Session) -> Sequence[Project]:
    """Newest first."""
    return session.scalars(select(Project).order_by(Project.created_at.desc(), Project.id.desc())).all()
