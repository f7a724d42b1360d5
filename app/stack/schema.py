"""Brings the database to the version of the code, or says in words why that cannot be."""

import structlog
from alembic.util import CommandError
from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from app.config import Settings
from app.db import dispose, get_engine, migrate
from app.key import service as keys
from app.stack.errors import StartError

log = structlog.get_logger(__name__)


def migrate_database(settings: Settings) -> None:
    """Raises StartError when the database cannot be reached or was made by a newer version."""
    try:
        migrate.upgrade(settings.database)
    except (SQLAlchemyError, CommandError) as error:
        raise StartError(
            f"the database could not be brought up to date: {error}",
            hint="check TUNERY_DATABASE_URL, and that this is not an older version of Tunery than the one before",
        ) from error
    finally:
        dispose()
    log.info("the database is up to date")


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
