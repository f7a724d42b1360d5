"""Whether this code and the database fit together.

Migrations add first and take away a release later, so that processes of two versions can work on one database while it is upgraded
(docs/adr/0025). Revisions are numbered, and sort by their names.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Integer, String, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base

_APP: Final = Path(__file__).resolve().parent.parent


class SchemaSupport(Base):
    """One row: which code can still work on this schema. Written by the migrations that take something away."""

    __tablename__ = "schema_support"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    oldest_code: Mapped[str] = mapped_column(String(32))
    """The newest revision that code must know at least."""


def script_location() -> Path:
    """``alembic/`` of the checkout, or its copy inside the wheel."""
    packaged = _APP / "_alembic"
    return packaged if packaged.is_dir() else _APP.parent / "alembic"


KNOWN: Final = max(path.name.partition("_")[0] for path in script_location().glob("versions/[0-9]*.py"))
"""The newest revision that this code knows; looked up as the process starts, since an upgrade may change the files below it."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What the database is at, and whether this code can work on it."""

    revision: str
    problem: str | None
    """Why it cannot, and what to do."""

    @property
    def is_newer(self) -> bool:
        return self.revision > KNOWN


def fit(session: Session) -> Fit:
    """Raises SQLAlchemy's errors when there is no database, or it was never migrated."""
    revision = str(session.scalar(text("SELECT version_num FROM alembic_version")))
    if revision < KNOWN:
        problem = (
            f"The database is at revision {revision}, and this version of Tunery needs {KNOWN}: run tunery migrate."
        )
        return Fit(revision=revision, problem=problem)
    oldest = KNOWN if revision == KNOWN else session.scalar(select(SchemaSupport.oldest_code))
    if oldest is None or oldest > KNOWN:
        problem = (
            f"The database is at revision {revision}, which works with versions of Tunery that know {oldest}; "
            f"this one knows {KNOWN}: replace it by a newer one."
        )
        return Fit(revision=revision, problem=problem)
    return Fit(revision=revision, problem=None)
