"""The fault matrix: services that are made to fail, what was promised of them, and what was measured.

All rows run by ``make faults``; those without the mark ``faults`` are the quick selection of ``make test``.
"""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.road.conftest import Service, assert_all_is_well
from tests.road.tiny import build_encoder, reviews
from tests.stack.processes import Up

IMPATIENT = {"TUNERY_SWEEP_SECONDS": "0.5", "TUNERY_POLL_SECONDS": "1", "TUNERY_STOP_SECONDS": "5"}
"""Settings of rows that do not measure the production values."""

TRAINING = {
    "num_train_epochs": 4, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "save_strategy": "steps",
    "save_steps": 10, "eval_strategy": "epoch",
}  # fmt: skip
"""60 steps and eight checkpoints of a tiny encoder, in a second or two."""
LONG = TRAINING | {"num_train_epochs": 40, "save_steps": 50}
"""600 steps; something can happen meanwhile."""
QUICK_FAILPOINTS = ("job.inserted", "claim.stored", "folder.sealed")
"""Those of ``make test``: one of the API, one of the worker, one of the trainer. Their rows share a service."""


class Tried(Service):
    """A service whose requests are sent again, as a careful client does it, while it is being killed."""

    def again(self, method: str, path: str, *, seconds: float = 60, **request: Any) -> httpx2.Response:
        """The first answer that is not a refusal for want of the service; the request is the same each time."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                answer = self.http.request(method, path, **request)
                if answer.status_code not in {502, 503}:
                    return answer
                reason: object = answer.text
            except httpx2.TransportError as error:
                reason = error
            assert time.monotonic() < deadline, reason
            time.sleep(0.1)

    def upload(self, rows: list[dict], name: str = "data.jsonl") -> str:
        content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        answer = self.again("POST", "/files", files={"file": (name, content)})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def register(self, name: str, folder: Path) -> None:
        parts = [("files", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]
        answer = self.again("POST", "/models", data={"name": name}, files=parts)
        assert answer.status_code in {200, 201}, answer.text

    def submit(self, **spec: Any) -> str:
        """The id of the one job, however often it had to be sent."""
        key = uuid.uuid4().hex
        answer = self.again("POST", "/jobs", json=spec, headers={"Idempotency-Key": key})
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()["id"]

    def read(self, path: str) -> dict[str, Any]:
        return self.again("GET", path).raise_for_status().json()

    def events(self, job_id: str) -> list[dict[str, Any]]:
        return self.again("GET", f"/jobs/{job_id}/events", params={"limit": 1000}).json()["data"]

    def codes(self, job_id: str) -> set[str]:
        """Those of its events."""
        return {(event["data"] or {}).get("code") for event in self.events(job_id)} - {None}

    def train(self, *, seed: int = 1, training: dict[str, Any] = TRAINING, **spec: Any) -> str:
        rows = self.upload(reviews(120, seed=seed))
        return self.submit(model="tiny-bert", dataset={"train": rows}, training=training, **spec)

    def step_of(self, job_id: str) -> int:
        return self.job(job_id)["progress"].get("step", 0)

    def wait_for_step(self, job_id: str, step: int) -> None:
        self.wait_for(job_id, lambda job: job["progress"].get("step", 0) >= step)


@contextmanager
def running(home: Path, encoder: Path, **settings: str) -> Iterator[Tried]:
    """A service of its own with the tiny encoder; it is verified at the end."""
    up = Up(home, **settings)
    try:
        service = Tried(up, up.wait_ready())
        service.register("tiny-bert", encoder)
        yield service
        assert_all_is_well(home, **settings)
    finally:
        up.clean_up()


@pytest.fixture(scope="package")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_encoder(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture(scope="package")
def production(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> Iterator[Tried]:
    """A service at production values: no setting is scaled."""
    with running(tmp_path_factory.mktemp("production") / "home", encoder) as service:
        yield service


@pytest.fixture(scope="package")
def undisturbed(production: Tried) -> Callable[..., str]:
    """SHA-256 of the weights of a job that nothing happens to, by its seed of data and its training."""
    known: dict[str, str] = {}

    def weights(*, seed: int = 1, training: dict[str, Any] = TRAINING) -> str:
        key = json.dumps([seed, training], sort_keys=True)
        if key not in known:
            job = production.wait(production.train(seed=seed, training=training))
            assert job["status"] == "succeeded", job["error"]
            known[key] = job["model"]["weights_sha256"]
        return known[key]

    return weights


class Armed:
    """A service in which a process dies at a failpoint, once that is armed."""

    def __init__(self, service: Tried, marks: Path) -> None:
        self.service, self._marks = service, marks

    def arm(self, name: str) -> Path:
        """The file that will be there when somebody died."""
        mark = self._marks / name / "mark"
        mark.unlink(missing_ok=True)
        mark.parent.mkdir(parents=True, exist_ok=True)
        return mark


@contextmanager
def armed_service(folder: Path, encoder: Path, names: Iterable[str]) -> Iterator[Armed]:
    """A service of its own in which these failpoints can be armed."""
    marks = folder / "marks"
    failpoints = ",".join(f"{name}@{marks / name / 'mark'}" for name in names)
    with running(folder / "home", encoder, TUNERY_FAILPOINT=failpoints, **IMPATIENT) as service:
        yield Armed(service, marks)


@pytest.fixture(scope="package")
def quick_failpoints(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> Iterator[Armed]:
    with armed_service(tmp_path_factory.mktemp("armed"), encoder, QUICK_FAILPOINTS) as shared:
        yield shared


@pytest.fixture
def armed(request: pytest.FixtureRequest, tmp_path: Path, encoder: Path) -> Callable[[str], Any]:
    """A context for a row about that failpoint; the service is verified at its end."""

    @contextmanager
    def at(name: str) -> Iterator[Armed]:
        if name in QUICK_FAILPOINTS:
            shared: Armed = request.getfixturevalue("quick_failpoints")
            yield shared
            assert_all_is_well(shared.service.up.home, **IMPATIENT)
        else:
            with armed_service(tmp_path, encoder, [name]) as own:
                yield own

    return at


@pytest.fixture
def matrix(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Notes what a row promises and what was measured, for the page that ``make faults`` writes."""

    def note(row: str, inject: str, *, promise: str, measured: str) -> None:
        path = os.environ.get("FAULTS_REPORT")
        if path:
            line = {"row": row, "inject": inject, "promise": promise, "measured": measured, "test": request.node.nodeid}
            with Path(path).open("a") as file:
                file.write(json.dumps(line) + "\n")

    return note
