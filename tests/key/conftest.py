"""Keys in the database of the test."""

from collections.abc import Callable

import pytest

from app.key import projects, service
from app.key.schemas import NewKey, NewProject


@pytest.fixture
def make_key(database_ready) -> Callable[..., str]:
    """A key, by its project and scopes."""

    def make(project: str = "default", **wanted: object) -> str:
        return service.create(NewKey(name="test", project=project, **wanted)).key

    return make


@pytest.fixture
def database_ready(request: pytest.FixtureRequest) -> None:
    """Either database, or SQLite where the test asks for no other."""
    request.getfixturevalue("database" if "database" in request.fixturenames else "sqlite_home")


@pytest.fixture
def project(database_ready) -> str:
    """The id of a project that is not the built-in one."""
    return projects.create(NewProject(name="ours")).id


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}
