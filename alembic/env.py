"""How Alembic reaches our database: the settings' URL, all tables, one migrating process at a time."""

from alembic.runtime.migration import MigrationInfo
from sqlalchemy import text

import app.audit.models
import app.file.models
import app.hub_token.models
import app.job.models
import app.key.models
import app.metrics.models
import app.model.models
import app.study.models
import app.webhook.models  # noqa: F401  # importing the tables registers them
from alembic import context
from app.config import get_settings
from app.db import Base, create_database_engine

MIGRATION_LOCK = 7_283_001  # any number that nothing else in the database uses


def note(*, step: MigrationInfo, **_: object) -> None:
    context.config.attributes.get("applied", []).append(step.up_revision_id)


def run() -> None:
    url = context.config.attributes.get("url") or get_settings().database
    engine = create_database_engine(url)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            context.configure(
                connection=connection,
                target_metadata=Base.metadata,
                render_as_batch=True,
                compare_type=True,
                user_module_prefix="types.",
                on_version_apply=note,
            )
            context.run_migrations()
    finally:
        engine.dispose()


if context.is_offline_mode():
    raise SystemExit("migrations run against a database; there is no offline mode")
run()
