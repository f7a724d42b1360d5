"""Bring the database to the newest schema, from a checkout or from an installed wheel."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.config import Config
from sqlalchemy.engine import make_url

from alembic import command
from app.config import get_settings
from app.db.schema import script_location


def alembic_config(url: str | None = None, *, scripts: Path | None = None) -> Config:
    """``scripts``: the folder of the migrations, if they are others than this version's."""
    config = Config()
    config.set_main_option("script_location", str(scripts or script_location()).replace("%", "%%"))
    config.attributes["url"] = url or get_settings().database
    config.attributes["applied"] = []
    return config


def upgrade(url: str | None = None, *, scripts: Path | None = None) -> list[str]:
    """Run all missing migrations; their revisions. Of several processes one runs them, the others wait and find them done.

    Raises alembic's CommandError when the database is of a newer version.
    """
    config = alembic_config(url, scripts=scripts)
    with _alone(config.attributes["url"]):
        command.upgrade(config, "head")
    applied: list[str] = config.attributes["applied"]
    return applied


@contextmanager
def _alone(url: str) -> Iterator[None]:
    """One process at a time migrates a SQLite file, which itself waits for a lock for seconds only; those of PostgreSQL take turns in ``env.py``."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        yield
        return
    folder = Path(parsed.database).parent
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
