"""Several processes migrate at a time; and code works beside a database of another version, or knows that it cannot."""

import fcntl
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url

from app.config import get_settings
from app.db import create_database_engine, fit, get_engine, reading, transaction
from app.db.migrate import upgrade
from app.db.schema import KNOWN, script_location
from app.job import repository
from app.stack.errors import StartError
from app.stack.schema import migrate_database
from tests.conftest import reset_process_state
from tests.newer_version import ADDS, NEXT, TAKES_AWAY, newer_version

MIGRATE = "from app.db.migrate import upgrade; print('begins', flush=True); print(upgrade())"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request, settings_home, monkeypatch):
    """Never migrated."""
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
        monkeypatch.setenv("TUNERY_DATABASE_URL", server.create_database())
        reset_process_state()
    return get_settings().database


@contextmanager
def migrating(url):
    """Another process has the lock that whoever migrates takes."""
    if url.startswith("sqlite"):
        folder = os.open(Path(make_url(url).database).parent, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
        os.close(folder)
        return
    engine = create_database_engine(url)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(7283001)"))
        yield
    engine.dispose()


def test_of_many_processes_one_migrates_and_the_others_find_it_done(empty_database):
    with migrating(empty_database):
        processes = [
            subprocess.Popen([sys.executable, "-c", MIGRATE], stdout=subprocess.PIPE, text=True) for _ in range(3)
        ]
        assert [process.stdout.readline() for process in processes] == ["begins\n"] * 3
        time.sleep(1)
        engine = create_database_engine(empty_database)
        assert inspect(engine).get_table_names() == [], "they wait for whoever has the lock"
        engine.dispose()
    told = sorted(process.communicate(timeout=120)[0].strip() for process in processes)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert told[1:] == ["[]", "[]"]
    assert told[0].endswith(f"'{KNOWN}']")
    with reading() as session:
        assert fit(session).problem is None


def test_revisions_sort_by_their_names_in_the_order_of_the_chain():
    from alembic.script import ScriptDirectory

    chain = [script.revision for script in ScriptDirectory(str(script_location())).walk_revisions()]
    assert chain == sorted(chain, reverse=True)
    assert chain[0] == KNOWN


def test_code_works_on_a_newer_schema_that_only_has_more(database, tmp_path):
    upgrade(database, scripts=newer_version(tmp_path, ADDS))
    with reading() as session:
        found = fit(session)
    assert (found.revision, found.is_newer, found.problem) == (NEXT, True, None)
    migrate_database(get_settings())


def test_code_that_is_too_old_for_the_schema_says_so(database, tmp_path):
    upgrade(database, scripts=newer_version(tmp_path, TAKES_AWAY))
    with reading() as session:
        problem = fit(session).problem
    assert NEXT in problem
    assert problem.endswith(f"this one knows {KNOWN}: replace it by a newer one.")
    with pytest.raises(StartError, match="replace it by a newer one") as refused:
        migrate_database(get_settings())
    assert "restore the backup" in refused.value.hint


def test_code_that_comes_before_the_migration_says_so(database):
    with transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0009'"))
    with reading() as session:
        assert fit(session).problem == (
            f"The database is at revision 0009, and this version of Tunery needs {KNOWN}: run tunery migrate."
        )


def test_a_job_that_asks_for_more_than_this_version_knows_is_left_to_others(database):
    from app.job import lifecycle
    from app.spec.version import CONTRACT_VERSION
    from tests.job.conftest import insert_job

    newer = insert_job(contract_version=CONTRACT_VERSION + 1, priority=1)
    known = insert_job()
    with transaction() as session:
        claimed = lifecycle.claim_next(session, worker_id="worker-a")
        assert claimed.claim.job_id == known
        assert lifecycle.claim_next(session, worker_id="worker-a") is None
        assert repository.get(session, newer).status == "queued"


def test_a_database_is_never_half_migrated(empty_database, tmp_path):
    """All migrations of an upgrade are one transaction, on SQLite too."""
    with pytest.raises(ZeroDivisionError):
        upgrade(empty_database, scripts=newer_version(tmp_path, ADDS, "1 / 0"))
    assert inspect(get_engine()).get_table_names() == []
