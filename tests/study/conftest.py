"""Studies on a database, with jobs that end as workers end them, and without a thread that would drive by itself."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app import ids
from app.config import get_settings
from app.db import reading, transaction
from app.job import lifecycle, records
from app.job import repository as jobs
from app.job.models import Job
from app.manifest import committed_folder
from app.model import service as models
from app.study import driving
from tests.hub.builders import bert_folder

ROWS = b"".join(json.dumps({"text": f"text {n}", "label": n % 2}).encode() + b"\n" for n in range(40))
RATE = {"low": 1e-5, "high": 1e-3, "log": True}


class Bench:
    """A registered model, an uploaded file, and what workers and users do to a study."""

    def __init__(self, http: TestClient) -> None:
        self.http = http
        self.file_id = http.post("/files", files={"file": ("data.jsonl", ROWS)}).json()["id"]
        self.job = {"model": "tiny", "dataset": {"train": self.file_id}}

    def body(self, **changes):
        return {"job": self.job, "space": {"training.learning_rate": RATE}, "num_trials": 3} | changes

    def create(self, **changes) -> str:
        answer = self.http.post("/sweeps", json=self.body(**changes))
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def sweep(self, sweep_id):
        return self.http.get(f"/sweeps/{sweep_id}").json()

    def trials(self, sweep_id):
        return self.http.get(f"/sweeps/{sweep_id}/trials").json()["data"]

    def claim(self):
        with transaction() as session:
            claimed = lifecycle.claim_next(session, worker_id="worker-a")
        return None if claimed is None else claimed.claim

    def evaluate(self, claim, *values, metric="eval/f1", max_steps=100):
        """The worker has relayed these evaluations, ten steps apart."""
        with transaction() as session:
            rows = [
                {"job_id": claim.job_id, "step": 10 * n, "name": metric, "epoch": float(n), "value": value,
                 "created_at": jobs.get(session, claim.job_id).created_at}
                for n, value in enumerate(values, start=1)
            ]  # fmt: skip
            records.upsert_metrics(session, rows)
            lifecycle.write(session, claim, progress={"step": 10 * len(values), "max_steps": max_steps})

    def succeed(self, claim, value, *, metric="eval/f1"):
        """Its model is published as a worker publishes it."""
        model_id = ids.fine_tuned_model_id("tiny", suffix=None, job_id=claim.job_id)
        source = get_settings().jobs_dir / claim.job_id / "model"
        source.parent.mkdir(parents=True, exist_ok=True)
        with committed_folder(source) as folder:
            (folder / "config.json").write_text("{}")
            (folder / "model.safetensors").write_bytes(b"weights of " + claim.job_id.encode())
        placed = models.place(source, model_id=model_id)
        with transaction() as session:
            models.publish(session, model_id=model_id, job_id=claim.job_id, base_model="tiny",
                           task="text-classification", folder=placed, metrics={metric: value})  # fmt: skip
            lifecycle.succeed(session, claim, model_id=model_id, best_metrics={"step": 10, "epoch": 1.0, metric: value})
        return model_id

    def fail(self, claim, *, message="it was too cold"):
        with transaction() as session:
            error = {"code": "loss_nan", "message": message, "param": None, "hint": None}
            lifecycle.fail(session, claim, error=error)

    def run_next(self, sweep_id, value):
        """Drive until a trial waits, and let it succeed with that value."""
        driving.drive(sweep_id)
        model_id = self.succeed(self.claim(), value)
        driving.drive(sweep_id)
        return model_id


def _bench(folder: Path) -> Bench:
    from app.main import create_app

    http = TestClient(create_app(), base_url="http://127.0.0.1:8000", raise_server_exceptions=False)  # no lifespan
    parts = [("files", (path.name, path.read_bytes())) for path in sorted(bert_folder(folder).iterdir())]
    assert http.post("/models", data={"name": "tiny"}, files=parts).status_code == 201
    return Bench(http)


@pytest.fixture
def bench(sqlite_home, tmp_path) -> Bench:
    return _bench(tmp_path / "tiny")


@pytest.fixture
def either_bench(database, tmp_path) -> Bench:
    """Once on SQLite, once on PostgreSQL."""
    return _bench(tmp_path / "tiny")


def load_job(job_id) -> Job:
    with reading() as session:
        return jobs.get(session, job_id)
