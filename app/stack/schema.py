"""Brings the database to the version of the code, or says in words why that cannot be."""

import structlog
from alembic.util import CommandError
from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from app.config import Settings
from app.db import dispose, fit, get_engine, migrate, reading
from app.key import service as keys
from app.stack.errors import StartError

log = structlog.get_logger(__name__)


def migrate_database(settings: Settings) -> None:
    """Raises StartError when the database cannot be reached, or was made by a version that this one cannot work beside."""
    try:
        applied = migrate.upgrade(settings.database)
    except CommandError as error:
        _accept_newer(error)
        return
    except SQLAlchemyError as error:
        raise StartError(
            f"the database could not be brought up to date: {error}",
            hint="check TUNERY_DATABASE_URL",
        ) from error
    finally:
        dispose()
    if applied:
        log.info("the database was brought up to date", applied=applied)


def has_keys() -> bool:
    """Whether a key was ever made in the database, which may be one of an older version, or empty. Raises StartError."""
    try:
        return inspect(get_engine()).has_table("api_keys") and keys.any_key()
    except SQLAlchemyError as error:
        raise StartError(
            f"the database could not be asked for API keys: {error}", hint="check TUNERY_DATABASE_URL"
        ) from error
    finally:
        dispose()


def _accept_newer(error: CommandError) -> None:
    """A newer version has migrated the database: fine if it says that this one still works on it."""
    try:
        with reading() as session:
            found = fit(session)
    finally:
        dispose()
    if not found.is_newer or found.problem is not None:
        raise StartError(
            found.problem or f"the database could not be brought up to date: {error}",
            hint="start the version that was here before, or restore the backup of this one",
        ) from error
    log.info("the database is of a newer version, and works with this one", revision=found.revision)
