"""A database as a service has it after a year: a thousand jobs, one with a hundred thousand points, one with hostile names."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from app import ids
from app.clock import utc_now
from app.db import now, transaction
from app.job import events
from app.job.models import Checkpoint, Job, MetricPoint, WorkerPresence
from app.job.states import JobStatus
from app.spec.run import TRAINER_LOG
from tests.conftest import reset_process_state

HOSTILE = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
NUM_POINTS = 100_000
FILE = "file-" + "0" * 32


@dataclass(frozen=True)
class Archive:
    """Ids of jobs, by what they are there for."""

    home: Path
    finished: str
    hostile: str
    long: str
    failed: str
    running: str


@contextmanager
def settings_of(home: Path) -> Iterator[None]:
    """Within it this process reads and writes the service's database."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TUNERY_DATABASE_URL", "TUNERY_REDIS_URL", "TUNERY_PREDICTOR_URL", "TUNERY_FIRST_API_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("TUNERY_HOME", str(home))
        reset_process_state()
        try:
            yield
        finally:
            reset_process_state()


def fill(home: Path, *, num_jobs: int) -> Archive:
    with settings_of(home):
        add_many(num_jobs)
        archive = Archive(
            home=home,
            finished=add_finished(home, suffix="paraphrase", labels=("other", "same")),
            hostile=add_finished(home, suffix=None, labels=(HOSTILE, "same"), metadata={"name": HOSTILE}),
            long=add_long(),
            failed=add_failed(),
            running=add_job(status=JobStatus.RUNNING, phase="training", attempt=1, **_started(), worker_id=add_worker(),
                            spec=spec(suffix="on-its-way"), progress={"step": 10, "max_steps": 100, "fraction": 0.1}),
        )  # fmt: skip
        for i in range(3):
            say(archive.running, f"Event {i}.")
    return archive


def spec(**members) -> dict:
    return {
        "model": "all-MiniLM-L6-v2", "dataset": {"train": FILE}, "task": "text-classification",
        "training": {"num_train_epochs": 3, "metric_for_best_model": "f1"}, **members,
    }  # fmt: skip


def _started(*, ended: bool = False) -> dict:
    """Claims of this service's sweep last an hour: nobody works on these jobs."""
    started = utc_now() - timedelta(minutes=4)
    times = {"started_at": started, "token": 1, "lease_until": utc_now() + timedelta(hours=10)}
    return times | ({"finished_at": started + timedelta(minutes=3), "lease_until": None} if ended else {})


def add_job(**columns) -> str:
    with transaction() as session:
        values = {
            "id": ids.new_id(ids.JOB), "spec": spec(), "job_metadata": {}, "created_at": utc_now(),
            "not_before": now(session), "progress": {}, "warnings": [], "timings": {}, **columns,
        }  # fmt: skip
        values.setdefault("requested_spec", values["spec"])
        session.add(Job(**values))
        session.flush()
        events.append(session, values["id"], "The job was accepted.", kind="status")
        return values["id"]


def add_worker() -> str:
    """One that is heard of for the next ten hours."""
    gpu = {"name": "NVIDIA L4", "memory_bytes": 24_152_899_584}
    with transaction() as session:
        worker = WorkerPresence(
            id="worker-" + "1" * 32, host="elsewhere", pid=1, process_started=1, name=HOSTILE, slots=2, cpus=32, memory_bytes=2**37,
            gpus=[gpu, gpu], started_at=utc_now(), seen_at=utc_now() + timedelta(hours=10),
        )  # fmt: skip
        session.add(worker)
        return worker.id


def say(job_id: str, message: str) -> None:
    with transaction() as session:
        events.append(session, job_id, message)


def set_job(job_id: str, **columns) -> None:
    with transaction() as session:
        job = session.get(Job, job_id)
        assert job is not None
        for name, value in columns.items():
            setattr(job, name, value)
        events.append(session, job_id, "It has changed.", kind="status")


def add_many(count: int) -> None:
    rows = []
    for i in range(count):
        status = [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED][i % 3]
        rows.append({
            "id": ids.new_id(ids.JOB), "kind": "training", "status": status, "spec": spec(suffix=f"run-{i}"),
            "requested_spec": spec(suffix=f"run-{i}"), "job_metadata": {"number": str(i)}, "created_at": utc_now(),
            "not_before": utc_now(), "progress": {"step": 100, "max_steps": 100, "fraction": 1.0}, "warnings": [],
            "timings": {}, "report": report(("other", "same")), **_started(ended=True),
            "best_metrics": {"step": 90, "epoch": 3.0, "eval/f1": 0.5 + i / 10_000},
        })  # fmt: skip
    with transaction() as session:
        session.execute(insert(Job), rows)


def report(labels: tuple[str, str]) -> dict:
    part = {
        "num_examples": 300,
        "per_class": [
            {"label": labels[0], "support": 126, "precision": 0.97, "recall": 0.62, "f1": 0.76},
            {"label": labels[1], "support": 174, "precision": 0.78, "recall": 0.98, "f1": 0.87},
        ],
        "confusion_matrix": [[79, 47], [2, 172]],
        "majority_baseline": {"label": labels[1], "accuracy": 0.58},
        "metrics": {"loss": 0.42, "accuracy": 0.83, "f1": 0.8753},
    }
    return {"labels": list(labels), **part, "test": part}


def add_finished(home: Path, *, suffix: str | None, labels: tuple[str, str], metadata: dict | None = None) -> str:
    histogram = [0, 4, 400, 700, 90, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    split = {
        "num_rows": 1200, "num_exact_duplicates": 3, "num_empty_texts": 0,
        "label_counts": {labels[0]: 504, labels[1]: 696},
        "text_chars": {"sentence1": {"mean": 68.5, "max": 109, "histogram": histogram}},
    }  # fmt: skip
    best = {"step": 225, "epoch": 3.0, "eval/loss": 0.42, "eval/f1": 0.8753}
    job_id = add_job(
        status=JobStatus.SUCCEEDED, attempt=1, spec=spec(suffix=suffix, metadata=metadata or {}),
        job_metadata=metadata or {},
        **_started(ended=True), progress={"step": 225, "max_steps": 225, "epoch": 3.0, "fraction": 1.0},
        report=report(labels), data_report={"splits": {"train": split, "validation": split}}, best_metrics=best,
        latest_metrics=best, timings={"training_seconds": 170.0},
        warnings=[{"code": "truncated", "message": f"12 examples are cut; one begins {labels[0]}"}],
    )  # fmt: skip
    choose = random.Random(0)
    points = [("train/loss", step, 0.7 / (1 + step / 80) + choose.uniform(-0.03, 0.03)) for step in range(1, 226)]
    points += [("eval/loss", step, 0.75 / (1 + step / 80)) for step in (75, 150, 225)]
    points += [("eval/f1", step, 0.6 + step / 900) for step in (75, 150, 225)]
    add_points(job_id, points)
    with transaction() as session:
        session.add(Checkpoint(
            id=ids.new_id(ids.CHECKPOINT), job_id=job_id, attempt=1, step=225, epoch=3.0, path="gone", manifest_sha256="0" * 64,
            size_bytes=181_883_423, metrics={"eval/f1": 0.8753}, is_best=True, state="deleted", created_at=utc_now(),
        ))  # fmt: skip
    say(job_id, f"Labels are {', '.join(labels)}.")
    folder = home / "jobs" / job_id / "attempt-1"
    folder.mkdir(parents=True)
    (folder / TRAINER_LOG).write_text(f"phase: preparing\nlabels {labels[0]}\nphase: training\n")
    return job_id


def add_points(job_id: str, points: list[tuple[str, int, float]]) -> None:
    rows = [
        {"job_id": job_id, "step": step, "name": name, "epoch": step / 75, "value": value, "created_at": utc_now()}
        for name, step, value in points
    ]
    with transaction() as session:
        session.execute(insert(MetricPoint), rows)


def add_long() -> str:
    """One peak among a hundred thousand points, which no drawing may lose."""
    job_id = add_job(status=JobStatus.SUCCEEDED, attempt=1, spec=spec(suffix="long"), **_started(ended=True))
    choose = random.Random(1)
    values = [1 + choose.uniform(-0.05, 0.05) for _ in range(NUM_POINTS)]
    values[61_803] = 9.0
    add_points(job_id, [("train/loss", step, value) for step, value in enumerate(values)])
    return job_id


def add_failed() -> str:
    return add_job(
        status=JobStatus.FAILED, attempt=1, spec=spec(suffix="broken"), **_started(ended=True),
        error={"code": "loss_nan", "message": "The loss became NaN at step 12.", "param": "training.learning_rate",
               "hint": "Lower the learning rate."},
    )  # fmt: skip
