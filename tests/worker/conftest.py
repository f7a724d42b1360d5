"""Run directories, and the process that trainers are born from."""

import ctypes
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.config import get_settings
from tests.stack.processes import eventually
from tests.trainer.conftest import ROOT, Lab, tiny_model
from worker import process
from worker.nursery import keeper
from worker.nursery.keeper import Keeper
from worker.process import TrainerProcess, trainer_environment

__all__ = ["tiny_model"]

START_SECONDS = 60
LONG = {"num_train_epochs": 2000, "eval_strategy": "no", "save_strategy": "no"}


class Trainer(TrainerProcess):
    """A trainer of the worker's that remembers what it heard."""

    def __init__(self, run_dir: Path) -> None:
        super().__init__(run_dir)
        self.run_dir = run_dir
        self.seen: list[dict] = []

    def hear(self) -> None:
        self.seen += [json.loads(line) for line in self.read_lines()]

    def wait_for(self, kind: str, **fields: object) -> dict:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.hear()
            for message in self.seen:
                if message["type"] == kind and all(message[name] == value for name, value in fields.items()):
                    return message
            assert self.exit_code() is None, self.log()
            time.sleep(0.005)
        raise AssertionError(f"no {kind} {fields}\n{self.log()}")

    def finish(self) -> int:
        """The exit code; everything it said is heard."""
        deadline = time.monotonic() + START_SECONDS
        while (code := self.exit_code()) is None:
            assert time.monotonic() < deadline, self.log()
            self.hear()
            time.sleep(0.01)
        self.hear()
        return code

    def log(self) -> str:
        return (self.run_dir / "trainer.log").read_text()


def bare(**more: str) -> dict[str, str]:
    """A trainer's environment in this suite."""
    return trainer_environment({**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **more})


@pytest.fixture
def lab(tmp_path: Path, tiny_model: Path) -> Lab:
    return Lab(tmp_path, model=tiny_model)


@pytest.fixture(scope="package")
def adopting() -> Iterator[None]:
    """This process goes back, in the end, to leaving its grandchildren's orphans to others."""
    yield
    ctypes.CDLL(None).prctl(keeper._PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.fixture(scope="package")
def shared_nursery(adopting: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    kept = Keeper()
    kept.start(environment=bare(), home=tmp_path_factory.mktemp("nursery"))
    yield kept
    kept.stop()


@pytest.fixture
def nursery(shared_nursery: Keeper, monkeypatch: pytest.MonkeyPatch) -> Keeper:
    """A nursery that is ready, and that trainers are born from in this test."""
    assert eventually(lambda: shared_nursery.wait_until_ready(seconds=START_SECONDS), seconds=START_SECONDS)
    monkeypatch.setattr(process, "NURSERY", shared_nursery)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return shared_nursery


@pytest.fixture
def start() -> Iterator[Callable[[Path], Trainer]]:
    started: list[Trainer] = []

    def start_one(run_dir: Path) -> Trainer:
        started.append(Trainer(run_dir))
        return started[-1]

    yield start_one
    for trainer in started:
        trainer.close()


@pytest.fixture
def without_nursery(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, trainers start cold."""
    return lambda: monkeypatch.setattr(process, "NURSERY", Keeper())


@pytest.fixture(autouse=True)
def own_settings() -> Iterator[None]:
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()
