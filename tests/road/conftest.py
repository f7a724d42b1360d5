"""A whole running service, and a few words to speak to it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.hub import builders
from tests.hub.server import FakeHub, Repository
from tests.road.spans import Receiver
from tests.road.tiny import build_encoder, jsonl, reviews
from tests.stack.processes import ROOT, Up

JOB_SECONDS = 120
STALL_SECONDS = 20
"""After so long without a word a trainer of the shared service hangs: soon for a test, and long for a busy machine."""
TRAINING = {
    "num_train_epochs": 16, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "save_strategy": "steps",
    "save_steps": 50, "eval_strategy": "epoch",
}  # fmt: skip
"""432 steps of a tiny encoder; something can happen meanwhile."""


class Service:
    """What a user of the REST API does, with plain requests."""

    def __init__(self, up: Up, url: str) -> None:
        self.up = up
        self.http = httpx2.Client(base_url=url, timeout=60)

    def restart(self) -> None:
        """Stop it, and start it again on the same home and port, with the same settings."""
        assert self.up.stop() == 0, self.up.log()[-4000:]
        self.up.clean_up()
        self.up = Up(self.up.home, port=self.http.base_url.port or 0, **self.up.settings)
        self.up.wait_ready()

    def upload(self, rows: list[dict], name: str = "data.jsonl") -> str:
        answer = self.http.post("/files", files={"file": (name, jsonl(rows))})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def register(self, name: str, folder: Path) -> None:
        parts = [("files", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]
        answer = self.http.post("/models", data={"name": name}, files=parts)
        assert answer.status_code in {200, 201}, answer.text

    def submit(self, **spec: Any) -> str:
        answer = self.http.post("/jobs", json=spec)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def train(self) -> str:
        """The job that things happen to, by ``TRAINING``."""
        return self.submit(model="tiny-bert", dataset={"train": self.upload(reviews(240, seed=1))}, training=TRAINING)

    def read(self, path: str) -> dict[str, Any]:
        return self.http.get(path).raise_for_status().json()

    def job(self, job_id: str) -> dict[str, Any]:
        return self.read(f"/jobs/{job_id}")

    def wait(self, job_id: str, *, seconds: float = JOB_SECONDS) -> dict[str, Any]:
        """The job once it has ended. Nothing has to be done in that moment, so it is looked at less often."""
        return self.wait_at(f"/jobs/{job_id}", lambda job: job["finished_at"] is not None, seconds=seconds, pause=0.3)

    def wait_for(self, job_id: str, condition, *, seconds: float = JOB_SECONDS) -> dict[str, Any]:
        return self.wait_at(f"/jobs/{job_id}", condition, seconds=seconds)

    def wait_at(self, path: str, condition, *, seconds: float = JOB_SECONDS, pause: float = 0.1) -> dict[str, Any]:
        """What stands at ``path`` once it is as ``condition`` wants it; looked at every ``pause`` seconds."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.read(path)
            if condition(found):
                return found
            told = {name: found.get(name) for name in ("status", "phase", "progress", "counts")}
            assert time.monotonic() < deadline, f"{told}\n{self.up.log()[-4000:]}"
            time.sleep(pause)

    def logs(self, job_id: str) -> str:
        lines, after = [], None
        while True:
            page = self.http.get(f"/jobs/{job_id}/logs", params={"after": after} if after else {}).json()
            lines += page["lines"]
            if page["next"] == after or page["ended"]:
                return "\n".join(lines)
            after = page["next"]


def assert_all_is_well(home: Path, **settings: str) -> None:
    """The checker G of the fault matrix finds nothing. ``settings`` are those of the service."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "app.cli", "verify", "--home", str(home)],
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)} | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="package")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_encoder(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> Iterator[Service]:
    """One service for all tests that do not break it, with the tiny encoder registered as ``tiny-bert``."""
    up = Up(tmp_path_factory.mktemp("road") / "home", TUNERY_STALL_SECONDS=str(STALL_SECONDS))
    try:
        running = Service(up, up.wait_ready())
        running.register("tiny-bert", encoder)
        yield running
        up = running.up  # a test restarted it
        assert up.stop() == 0, up.log()[-4000:]
        assert_all_is_well(up.home)
    finally:
        up.clean_up()


@pytest.fixture(scope="package")
def undisturbed(service: Service) -> str:
    """SHA-256 of the weights of ``Service.train`` when nothing happens to it."""
    job = service.wait(service.train())
    assert job["status"] == "succeeded", job["error"]
    return job["model"]["weights_sha256"]


@dataclass
class Reader:
    """What README and tutorial expect: a service that reaches a hub, and tiny models under the names that they use.

    It is traced.
    """

    service: Service
    glue: Repository
    spans: Receiver

    @property
    def url(self) -> str:
        return str(self.service.http.base_url).rstrip("/")


@pytest.fixture(scope="package")
def reader(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("reader")
    with FakeHub(folder / "hub") as hub, Receiver() as spans:
        hub.add_model("google-bert/bert-base-uncased", encoder)
        glue = hub.add_dataset("nyu-mll/glue", files=builders.glue_files(), configs=builders.GLUE_CONFIGS)
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"}
        settings |= {"OTEL_EXPORTER_OTLP_ENDPOINT": spans.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        up = Up(folder / "home", TUNERY_HUB_TIMEOUT_SECONDS="30", **settings)
        try:
            service = Service(up, up.wait_ready())
            service.register("all-MiniLM-L6-v2", encoder)
            yield Reader(service, glue, spans)
            assert up.stop() == 0, up.log()[-4000:]
        finally:
            up.clean_up()


@pytest.fixture
def own_service(tmp_path: Path, encoder: Path) -> Iterator[Service]:
    """A service for one test, which may break it."""
    up = Up(tmp_path / "home")
    try:
        running = Service(up, up.wait_ready())
        running.register("tiny-bert", encoder)
        yield running
        assert_all_is_well(up.home)
    finally:
        up.clean_up()
