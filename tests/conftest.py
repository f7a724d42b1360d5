"""Fixtures of the whole suite: a home of its own for each test, a migrated database of either kind, a client.

Nothing here stands in for a real part: SQLite is a file, PostgreSQL is a server that the suite starts itself.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from fastapi.testclient import TestClient

from app import db, task_queue
from app.config import get_settings
from app.db.migrate import upgrade
from tests.distribution import group_by_file
from tests.postgres import PostgresServer

# torch takes a thread for each core, and so do the other processes of the suite: they would spin against each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than ten seconds")
    config.addinivalue_line("markers", "faults: a row of the fault matrix that only `make faults` runs")
    config.addinivalue_line("markers", "long: a further case of what `make test` has one of; `make long` runs these")
    # Rich's tracebacks, structlog's own choice, take seconds of processor time for one with much around it.
    plainly = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plainly])


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        group_by_file(items)


@pytest.fixture(autouse=True)
def denormal_numbers() -> Iterator[None]:
    """Whoever computes with models has his thread round them to zero. The tests' own goes on to others."""
    yield
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_flush_denormal(False)


def reset_process_state() -> None:
    """Forget what a process keeps of its settings, as a new process would."""
    db.dispose()
    get_settings.cache_clear()
    task_queue.get_celery.cache_clear()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "tunery.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer.started(tmp_path_factory.mktemp("postgres")) as server:
        upgrade(server.create_database("template_tunery"))
        yield server


@pytest.fixture
def settings_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder that the settings of this process point to; no database in it yet."""
    for name in ("TUNERY_DATABASE_URL", "TUNERY_REDIS_URL", "TUNERY_PREDICTOR_URL", "TUNERY_FIRST_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("TUNERY_HOME", str(home))
    reset_process_state()
    yield home
    reset_process_state()


@pytest.fixture
def sqlite_home(settings_home: Path, migrated_sqlite: Path) -> Path:
    """A home with a migrated SQLite database."""
    shutil.copy(migrated_sqlite, settings_home / "tunery.db")
    return settings_home


@pytest.fixture(params=["sqlite", "postgresql"])
def database(
    request: pytest.FixtureRequest, settings_home: Path, migrated_sqlite: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A migrated, empty database of each kind; the test runs once on either. Gives its URL."""
    if request.param == "sqlite":
        shutil.copy(migrated_sqlite, settings_home / "tunery.db")
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        monkeypatch.setenv("TUNERY_DATABASE_URL", server.create_database(template="template_tunery"))
        reset_process_state()
    return get_settings().database


@pytest.fixture
def client(sqlite_home: Path) -> Iterator[TestClient]:
    """The application on SQLite, without worker, broker or predictor, called in this process."""
    from app.main import create_app

    with TestClient(create_app(), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as test_client:
        yield test_client
