"""Is the service as quick with 100,000 jobs in its database as with ten?

    python benchmarks/many_jobs.py --home FOLDER [--jobs 100000] [--projects 1] [--waiting 10] [--repetitions 200]

``FOLDER`` must not exist; the database is SQLite in it, or what TUNERY_DATABASE_URL names, which must be empty. Fills it (``--waiting`` of
a hundred jobs wait, the others are over; ``--projects`` own as many each), starts an API of its own on a free port of the loopback interface, and prints a Markdown table
of milliseconds: pages of one project's jobs over HTTP, and claims.
"""

import argparse
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx2

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
AT_ONCE = 2000
DEFAULT = "default"
"""The project of callers without a key."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--projects", type=int, default=1)
    parser.add_argument("--waiting", type=int, default=10, metavar="PERCENT")
    parser.add_argument("--repetitions", type=int, default=200)
    args = parser.parse_args()
    args.home.mkdir(parents=True)
    os.environ["TUNERY_HOME"] = str(args.home)
    from app.config import get_settings
    from app.db.migrate import upgrade

    upgrade(get_settings().database)
    ids = fill(args.jobs, projects=args.projects, waiting=args.waiting)
    rows = [("claim", measure(claim_one, args.repetitions))]
    with api(args.home) as http:
        for name, path in pages(ids):
            rows.append((name, measure(lambda path=path: http.get(path).raise_for_status(), args.repetitions)))
        choose = random.Random(0)
        rows.append(
            ("one job", measure(lambda: http.get(f"/jobs/{choose.choice(ids)}").raise_for_status(), args.repetitions))
        )
    kind = get_settings().database.partition(":")[0].partition("+")[0]
    print(
        f"| {args.jobs:,} jobs of {args.projects} projects, {args.waiting} % wait, {kind} | median, ms | p95, ms | slowest, ms |\n|---|---|---|---|"
    )
    for name, times in rows:
        p95 = statistics.quantiles(times, n=20)[-1]
        print(f"| {name} | {statistics.median(times):.1f} | {p95:.1f} | {max(times):.1f} |")


def pages(ids: list[str]) -> list[tuple[str, str]]:
    middle = ids[len(ids) // 2]
    return [
        ("page of 20, the newest", "/jobs?limit=20"),
        ("page of 100, the newest", "/jobs?limit=100"),
        ("page of 20, from the middle", f"/jobs?limit=20&after={middle}"),
        ("page of 20, those that wait", "/jobs?limit=20&status=queued"),
        ("page of 20, those that failed", "/jobs?limit=20&status=failed"),
        ("page of 20, by metadata that one in 100 has", "/jobs?limit=20&metadata[team]=7"),
    ]


def fill(count: int, *, projects: int, waiting: int) -> list[str]:
    """Ids of those that a caller without a key may see, the oldest first."""
    from sqlalchemy import insert

    from app import ids
    from app.clock import utc_now
    from app.db import transaction
    from app.job.models import Attempt, Checkpoint, Job, JobEvent
    from app.spec.job import JobSpec

    moment = utc_now() - timedelta(days=30)
    spec = JobSpec.model_validate({"model": "encoder", "dataset": {"train": "file-" + "0" * 32}}).model_dump(
        mode="json"
    )
    data_report = {"splits": {"train": {"num_rows": 1000}}}
    made = []

    def project_of(number: int) -> str:
        return f"project-{number % projects}" if number % projects else DEFAULT

    for start in range(0, count, AT_ONCE):
        jobs, attempts, events, saved = [], [], [], []
        for number in range(start, min(start + AT_ONCE, count)):
            job_id = ids.new_id(ids.JOB)
            created = moment + timedelta(seconds=number)
            status = "queued" if number % 100 >= 100 - waiting else "failed" if number % 10 == 8 else "succeeded"
            over = status != "queued"
            jobs.append(
                {"id": job_id, "project_id": project_of(number), "status": status, "spec": spec, "requested_spec": spec, "job_metadata": {"team": str(number % 100)},
                 "priority": number % 3, "created_at": created, "not_before": created, "progress": {"step": 100, "max_steps": 100},
                 "started_at": created if over else None, "finished_at": created + timedelta(minutes=1) if over else None,
                 "attempt": int(over), "token": int(over), "num_crashes": 0, "num_losses": 0, "last_event_number": 1,
                 "warnings": [], "timings": {}, "data_report": data_report, "model_id": f"ft:{job_id}" if status == "succeeded" else None,
                 "error": {"code": "loss_nan", "message": "It failed."} if status == "failed" else None,
                 "report": {"labels": ["a", "b"], "confusion_matrix": [[50, 1], [2, 47]]} if over else None}
            )  # fmt: skip
            events.append({"job_id": job_id, "number": 1, "created_at": created, "level": "info", "type": "status",
                           "message": "The job was accepted.", "data": None})  # fmt: skip
            if over:
                attempts.append({"job_id": job_id, "number": 1, "token": 1, "worker_id": "worker-a", "started_at": created,
                                 "ended_at": created, "outcome": status, "resumed_from_step": 0, "last_step": 100})  # fmt: skip
                saved.append({"id": ids.new_id(ids.CHECKPOINT), "job_id": job_id, "attempt": 1, "step": 100, "epoch": 1.0,
                              "path": f"{job_id}/attempt-1/checkpoints/step-00000100", "manifest_sha256": "0" * 64,
                              "size_bytes": 1, "metrics": {}, "is_best": True, "state": "deleted", "created_at": created})  # fmt: skip
            if project_of(number) == DEFAULT:
                made.append(job_id)
        with transaction() as session:
            for table, rows in ((Job, jobs), (Attempt, attempts), (JobEvent, events), (Checkpoint, saved)):
                if rows:
                    session.execute(insert(table), rows)
    return made


def claim_one() -> None:
    from app.db import transaction
    from app.job import lifecycle

    with transaction() as session:
        assert lifecycle.claim_next(session, worker_id="worker-benchmark") is not None


def measure(step: Callable[[], object], repetitions: int) -> list[float]:
    """Milliseconds of each."""
    times = []
    for _ in range(repetitions):
        began = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - began))
    return times


@contextmanager
def api(home: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "app.cli", "serve", "--home", str(home), "--port", str(port)]
    with (home / "api.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            http = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
            deadline = time.monotonic() + 60
            while True:
                try:
                    http.get("/health/live").raise_for_status()
                    break
                except httpx2.TransportError:
                    if time.monotonic() > deadline or process.poll() is not None:
                        raise
                    time.sleep(0.1)
            yield http
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
