"""The migrations make exactly the tables the models describe, on both databases."""

from datetime import UTC, datetime

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

import app.audit.models
import app.file.models
import app.hub_token.models
import app.job.models
import app.key.models
import app.metrics.models
import app.model.models
import app.study.models
import app.webhook.models  # noqa: F401
from app.db import Base, get_engine, now, reading, transaction
from app.db.migrate import upgrade
from app.job import turns
from app.job.models import Job


def test_the_migrated_schema_is_that_of_the_models(database):
    with get_engine().connect() as connection:
        opts = {"compare_type": True, "include_object": comparable}
        differences = compare_metadata(MigrationContext.configure(connection, opts=opts), Base.metadata)
    assert differences == []


def comparable(item, name, kind, reflected, other):
    """SQLite does not tell in which order an index sorts; the next test sees to this one."""
    return name != "ix_jobs_queue" or get_engine().dialect.name != "sqlite"


def test_the_next_job_is_found_without_sorting_the_queue(database):
    query = turns.best_of("default", fits=[Job.not_before <= datetime(2026, 1, 1, tzinfo=UTC)]).limit(1)
    query = str(query.compile(get_engine(), compile_kwargs={"literal_binds": True}))
    with transaction() as session:
        if get_engine().dialect.name == "sqlite":
            plan = str(session.execute(text(f"EXPLAIN QUERY PLAN {query}")).all())
            assert "ix_jobs_queue" in plan
            assert "ORDER BY" not in plan
        else:
            session.execute(text("SET LOCAL enable_seqscan = off"))
            plan = str(session.execute(text(f"EXPLAIN {query}")).all())
            assert "ix_jobs_queue" in plan
            assert "Sort" not in plan


def test_migrating_twice_changes_nothing(database):
    upgrade(database)
    with reading() as session:
        assert session.scalar(text("SELECT count(*) FROM jobs")) == 0


def test_a_raising_transaction_leaves_nothing(database):
    class Boom(Exception):
        pass

    try:
        with transaction() as session:
            session.execute(
                text(
                    "INSERT INTO workers (id, host, pid, process_started, slots, started_at, seen_at) "
                    "VALUES ('w', 'h', 1, 1, 1, '2026-01-01', '2026-01-01')"
                )
            )
            raise Boom
    except Boom:
        pass
    with reading() as session:
        assert session.scalar(text("SELECT count(*) FROM workers")) == 0


def test_the_database_tells_the_time_in_utc(database):
    from app.clock import utc_now

    with reading() as session:
        assert abs((now(session) - utc_now()).total_seconds()) < 5
