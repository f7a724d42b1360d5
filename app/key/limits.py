"""What a project may use: its own limits, and where it has none those of the settings. None: no limit."""

import time
from typing import Final

from sqlalchemy.orm import Session

from app import caller
from app.config import get_settings
from app.db import reading
from app.key import repository
from app.key.models import Project
from app.key.schemas import Limits

REMEMBERED_SECONDS: Final = 2.0
_known: Final[dict[str, tuple[float, Limits]]] = {}


def held(session: Session, name: str) -> int | None:
    """One of the project that is worked for. If there is one, its row is locked: what is counted now stays so until the commit."""
    project_id = caller.project_id()
    if getattr(_of(session.get(Project, project_id)), name) is None:
        return None  # most have none, and need not wait for each other
    most: int | None = getattr(_of(repository.project_locked(session, project_id)), name)
    return most


def known(project_id: str) -> Limits:
    """Those of a moment ago: for what is asked so often that the database should not be."""
    found = _known.get(project_id)
    if found is not None and time.monotonic() < found[0]:
        return found[1]
    with reading() as session:
        limits = _of(session.get(Project, project_id))
    _known[project_id] = (time.monotonic() + REMEMBERED_SECONDS, limits)
    return limits


def remembered(project_id: str) -> Limits | None:
    """What ``known`` would say without asking the database."""
    found = _known.get(project_id)
    return found[1] if found is not None and time.monotonic() < found[0] else None


def forget() -> None:
    """They were changed by this process, which knows it at once."""
    _known.clear()


def _of(project: Project | None) -> Limits:
    own, settings = {} if project is None else project.limits, get_settings()
    return Limits.model_validate({name: own.get(name, getattr(settings, name)) for name in Limits.model_fields})
