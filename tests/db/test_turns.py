"""Threads of one process write to SQLite in turns."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from app import db
from app.db import transaction

THREADS, EACH = 20, 10


@pytest.fixture
def impatient(sqlite_home):
    """SQLite gives up at once where it would wait for another's lock."""
    engine = db.engine.get_engine()

    @event.listens_for(engine, "connect")
    def _never_wait(connection, record):
        connection.execute("PRAGMA busy_timeout=0")

    with transaction() as session:
        session.execute(text("CREATE TABLE numbers (number INTEGER)"))
    engine.dispose()


def write(_):
    for number in range(EACH):
        with transaction() as session:
            session.execute(text("INSERT INTO numbers VALUES (:number)"), {"number": number})


def test_no_thread_meets_the_lock_of_another(impatient):
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(write, range(THREADS)))
    with transaction() as session:
        assert session.execute(text("SELECT count(*) FROM numbers")).scalar() == THREADS * EACH


def test_a_turn_ends_with_its_transaction_however_that_ends(impatient):
    with pytest.raises(OperationalError), transaction() as session:
        session.execute(text("INSERT INTO nowhere VALUES (1)"))
    write(None)
