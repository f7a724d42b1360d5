"""Machines that share nothing but a store: each is a home of its own, and this process is on one of them at a time."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.config import get_settings
from app.manifest import committed_folder
from tests.conftest import reset_process_state
from tests.storage.seaweed import S3Server


@pytest.fixture(scope="package")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server.started(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def own_s3_server(tmp_path: Path) -> Iterator[S3Server]:
    """For a test that stops it."""
    folder = tmp_path / "seaweed"
    folder.mkdir()
    with S3Server.started(folder) as server:
        yield server


class Machines:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._monkeypatch = folder, monkeypatch

    def go_to(self, name: str, **settings: str) -> Path:
        """The home there, which this process has from now on."""
        home = self._folder / name
        home.mkdir(exist_ok=True)
        for variable, value in ({"TUNERY_HOME": str(home)} | settings).items():
            self._monkeypatch.setenv(variable, value)
        reset_process_state()
        return get_settings().home_dir


@pytest.fixture(params=["s3", "file"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a new store, which this process is set to."""
    if request.param == "file":
        url = f"file://{tmp_path / 'shared'}"
    else:
        server: S3Server = request.getfixturevalue("s3_server")
        url = server.new_place()
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("TUNERY_ARTEFACTS_URL", url)
    return url


@pytest.fixture
def machines(store_url: str, settings_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    return Machines(tmp_path, monkeypatch)


@pytest.fixture
def sealed() -> Callable[..., Path]:
    """Makes a sealed folder among the artefacts of the home."""

    def make(path: str = "models/one", **files: bytes) -> Path:
        folder = get_settings().artefacts_dir / path
        with committed_folder(folder, about={"kind": "test"}) as temporary:
            for name, content in (files or {"weights": os.urandom(1000), "config": b"{}"}).items():
                (temporary / name).write_bytes(content)
        return folder

    return make
