"""``make soak``: processes are killed and stopped at random while jobs run; nothing may be lost, done twice, or come out otherwise.

    python -m tests.faults.soak [--minutes 20] [--jobs 100] [--seed 1]

A whole service on PostgreSQL. Every few seconds one of api, worker, trainer, nursery, predictor, broker and database gets SIGKILL, or
SIGSTOP and some seconds later SIGCONT. Jobs are submitted all along, by clients that ask again; at the end the killing ends, and all
jobs must come to their end: succeeded, with the weights of the same jobs on a service that nobody disturbs, and with nothing for
``tunery verify`` to find. Prints a Markdown table; exits 1 if any of this is not so.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from tests.faults.conftest import TRAINING, Tried, running
from tests.postgres import PostgresServer
from tests.road.tiny import build_encoder

KINDS = [(seed, epochs) for seed in (1, 2, 3) for epochs in (4, 12)]
"""Seeds of data and lengths of training: so many different jobs there are."""
SETTINGS = {
    "TUNERY_SWEEP_SECONDS": "1", "TUNERY_POLL_SECONDS": "2", "TUNERY_LEASE_SECONDS": "10", "TUNERY_STOP_SECONDS": "5",
    "TUNERY_STALL_SECONDS": "20", "TUNERY_MAX_CRASHES": "1000", "TUNERY_MAX_LOSSES": "1000",
    "TUNERY_RETRY_BACKOFF_SECONDS": "0",
}  # fmt: skip
"""Budgets without an end: a job is killed more often here than anybody's."""
VICTIMS = {
    "api": "app.cli serve", "worker": "worker.main", "trainer": "-m worker.trainer", "nursery": "worker.nursery",
    "predictor": "worker.predictor", "broker": "valkey",
}  # fmt: skip
PAUSE_SECONDS = (1.0, 8.0)
STOPPED_SECONDS = (0.5, 15.0)
"""The longest are longer than a lease."""
PATIENCE_SECONDS = 900.0
"""For the jobs that are left when the killing has ended."""


def training(epochs: int) -> dict[str, object]:
    return TRAINING | {"num_train_epochs": epochs}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--jobs", type=int, default=100, help="at least so many")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    choose = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="tunery-soak-") as folder:
        encoder = build_encoder(Path(folder) / "encoder")
        with running(Path(folder) / "undisturbed", encoder) as calm:
            expected = {kind: weights(calm, kind) for kind in KINDS}
        with PostgresServer.started(Path(folder)) as database:
            settings = SETTINGS | {"TUNERY_DATABASE_URL": database.create_database()}
            with running(Path(folder) / "home", encoder, **settings) as service:
                chaos = Chaos(service, database, choose=choose)
                chaos.start()
                jobs = submit_until(service, time.monotonic() + 60 * args.minutes, at_least=args.jobs)
                chaos.end()
                is_well, report = judge(service, jobs, expected, chaos.done)
    sys.stdout.write(f"{report}\n")
    return 0 if is_well else 1


def weights(service: Tried, kind: tuple[int, int]) -> str:
    seed, epochs = kind
    job = service.wait(service.train(seed=seed, training=training(epochs)))
    assert job["status"] == "succeeded", job["error"]
    return str(job["model"]["weights_sha256"])


def submit_until(service: Tried, deadline: float, *, at_least: int) -> dict[str, tuple[int, int]]:
    """Jobs by id, each of a kind. A few wait at any time, so that workers never are without."""
    jobs: dict[str, tuple[int, int]] = {}
    while time.monotonic() < deadline or len(jobs) < at_least:
        waiting = service.again("GET", "/jobs", params={"status": "queued", "limit": 100}, seconds=300)
        if len(waiting.json()["data"]) < 4:
            seed, epochs = kind = KINDS[len(jobs) % len(KINDS)]
            jobs[service.train(seed=seed, training=training(epochs))] = kind
        else:
            time.sleep(0.5)
    return jobs


class Chaos(threading.Thread):
    """Kills and stops from ``start`` to ``end``. ``done`` counts what it did."""

    def __init__(self, service: Tried, database: PostgresServer, *, choose: random.Random) -> None:
        super().__init__(name="chaos", daemon=True)
        self.done: Counter[str] = Counter()
        self._service, self._database, self._choose = service, database, choose
        self._over = threading.Event()

    def end(self) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(self._choose.uniform(*PAUSE_SECONDS)):
            name = self._choose.choice([*VICTIMS, "database"])
            if name == "database":
                self._disturb_the_database()
            else:
                self._disturb(name)

    def _disturb(self, name: str) -> None:
        pids = [pid for pid, words in self._service.up.children().items() if VICTIMS[name] in words]
        if not pids:
            return
        pid = self._choose.choice(pids)
        if self._choose.random() < 0.5:
            self._signal(pid, signal.SIGKILL)
            self.done[f"{name}, SIGKILL"] += 1
        else:
            self._signal(pid, signal.SIGSTOP)
            self._over.wait(self._choose.uniform(*STOPPED_SECONDS))
            self._signal(pid, signal.SIGCONT)
            self.done[f"{name}, SIGSTOP"] += 1

    def _disturb_the_database(self) -> None:
        self._database.stop("immediate")
        self._over.wait(self._choose.uniform(*STOPPED_SECONDS))
        self._database.start()
        self.done["database, stopped at once"] += 1

    def _signal(self, pid: int, number: signal.Signals) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            self.done["gone before it was hit"] += 1


def judge(
    service: Tried, jobs: dict[str, tuple[int, int]], expected: dict[tuple[int, int], str], done: Counter[str]
) -> tuple[bool, str]:
    """Whether all came out as it should, and a report. ``tunery verify`` has its say when the service is left."""
    ended = {job_id: service.wait(job_id, seconds=PATIENCE_SECONDS) for job_id in jobs}
    others = [job for job in ended.values() if job["status"] != "succeeded"]
    differ = [i for i, job in ended.items() if job["model"] and job["model"]["weights_sha256"] != expected[jobs[i]]]
    stored = listed(service)
    lost, foreign = jobs.keys() - stored, stored - jobs.keys()
    attempts = sum(job["attempt"] for job in ended.values())
    lines = [
        "| jobs | attempts | disturbances | lost | there twice | not succeeded | other weights | `tunery verify` |",
        "|---|---|---|---|---|---|---|---|",
        f"| {len(jobs)} | {attempts} | {sum(done.values())} | {len(lost)} | {len(foreign)} | {len(others)} | {len(differ)} | nothing found |",
        "",
        ", ".join(f"{name}: {count}" for name, count in sorted(done.items())),
        *(f"{job['id']}: {job['status']}, {job['error']}" for job in others),
    ]
    return not (lost or foreign or others or differ), "\n".join(lines)


def listed(service: Tried) -> set[str]:
    found: set[str] = set()
    after: dict[str, str] = {}
    while True:
        page = service.again("GET", "/jobs", params={"limit": "100", **after}).json()
        found |= {job["id"] for job in page["data"]}
        if not page["has_more"]:
            return found
        after = {"after": page["last_id"]}


if __name__ == "__main__":
    sys.exit(main())
