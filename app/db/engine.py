"""One engine per process; ``transaction()`` is the only thing that commits.

SQLite runs in WAL mode, and a transaction that may write begins with ``BEGIN IMMEDIATE``: a deferred one that reads and
then writes fails with "database is locked" whatever the busy timeout. Threads of one process take turns before that:
those that SQLite itself makes wait sleep and try again, up to 0.1 s at a time and in no order.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from app.config import get_settings

BUSY_TIMEOUT_MS = 10_000

SILENCE_SECONDS: Final = 25
"""A PostgreSQL whose machine is gone, or whose network is, closes no connection. So long one is waited for that does not even
confirm that bytes came; the system itself waits for a quarter of an hour, and for an answer two hours. A server that only
hangs is not meant: its machine goes on confirming."""


def create_database_engine(url: str) -> Engine:
    """An engine for SQLite or PostgreSQL. Makes the folder of a SQLite file."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(url)
    return create_engine(
        url,
        pool_pre_ping=True,
        pool_size=8,
        max_overflow=16,
        json_serializer=_dumps,
        json_deserializer=orjson.loads,
        connect_args={
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": (SILENCE_SECONDS - 10) // 5,
            "tcp_user_timeout": SILENCE_SECONDS * 1000,
        },
    )


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(
        url,
        json_serializer=_dumps,
        json_deserializer=orjson.loads,
        pool_size=8,
        max_overflow=24,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:  # noqa: ARG001
        connection.isolation_level = None  # the driver would begin deferred transactions of its own
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # a 201 survives a power cut
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("read_only", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


_lock = threading.Lock()
_engine: Engine | None = None


def get_engine() -> Engine:
    """This process's engine, made on first use from the settings."""
    global _engine  # noqa: PLW0603
    with _lock:
        if _engine is None:
            _engine = create_database_engine(get_settings().database)
        return _engine


def dispose() -> None:
    """Close all connections; the next use makes a new engine. Call after a fork and when the settings changed."""
    global _engine  # noqa: PLW0603
    with _lock:
        if _engine is not None:
            _engine.dispose()
            _engine = None


@contextmanager
def transaction() -> Iterator[Session]:
    """A session that commits at the end of the block and rolls back when it raises."""
    engine = get_engine()
    with _turn(engine), Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


_writing: Final = threading.Lock()


@contextmanager
def _turn(engine: Engine) -> Iterator[None]:
    """This thread's turn to write, on SQLite; whoever has waited for it as long as for a lock leaves the rest to SQLite."""
    if engine.dialect.name != "sqlite":
        yield
        return
    is_ours = _writing.acquire(timeout=BUSY_TIMEOUT_MS / 1000)
    try:
        yield
    finally:
        if is_ours:
            _writing.release()


@contextmanager
def reading() -> Iterator[Session]:
    """A session for reads alone: it takes no write lock, and its work is rolled back."""
    engine = get_engine().execution_options(read_only=True)
    with Session(engine, expire_on_commit=False) as session:
        yield session


def now(session: Session) -> datetime:
    """The database's clock: the only one that decides about leases."""
    if session.get_bind().dialect.name == "sqlite":
        stamp = session.scalar(text("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')"))
        return datetime.fromisoformat(str(stamp)).replace(tzinfo=UTC)
    stamp = session.scalar(text("SELECT clock_timestamp()"))
    assert isinstance(stamp, datetime)
    return stamp.astimezone(UTC)
