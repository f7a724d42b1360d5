"""Rows D1 and D2: PostgreSQL goes away while jobs train."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.conftest import IMPATIENT, LONG, running
from tests.postgres import PostgresServer

LONGER = LONG | {"num_train_epochs": 60}
"""840 steps: it trains before, during and after an outage."""
LEASE_SECONDS = 4


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """One that the tests of this file may stop."""
    with PostgresServer.started(tmp_path_factory.mktemp("postgres")) as server:
        yield server


class Asking(threading.Thread):
    """Asks for the list of jobs over and over, as long as the block lasts, and keeps every answer."""

    def __init__(self, service):
        super().__init__()
        self._service = service
        self._over = threading.Event()
        self.answers = []

    def run(self):
        while not self._over.wait(0.1):
            self.answers.append(self._service.http.get("/jobs"))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()


def assert_refused_in_order(answer):
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["error"]["code"] == "unavailable"


def trainers(service):
    return {pid for pid, words in service.up.children().items() if "worker.trainer" in words}


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_of_the_database_does_not_disturb_training(mode, postgres, tmp_path, encoder, undisturbed, matrix):
    database = {"TUNERY_DATABASE_URL": postgres.create_database()}
    with running(tmp_path / "home", encoder, **IMPATIENT, **database) as service:
        job_id = service.train(training=LONGER)
        service.wait_for_step(job_id, 20)
        before = trainers(service)
        with Asking(service) as asking:
            begun = time.monotonic()
            postgres.stop(mode)
            assert_refused_in_order(
                service.http.post("/jobs", json={"model": "tiny-bert", "dataset": {"train": "file-" + "0" * 32}})
            )
            assert_refused_in_order(service.http.get(f"/jobs/{job_id}"))
            assert service.http.get("/health/ready").status_code == 503
            assert service.http.get("/health/live").status_code == 200
            time.sleep(3)
            postgres.start()
            away = time.monotonic() - begun
            service.again("GET", f"/jobs/{job_id}")
            back = time.monotonic() - begun - away
        refused = [answer for answer in asking.answers if answer.status_code != 200]
        assert refused
        for answer in refused:
            assert_refused_in_order(answer)
        assert trainers(service) == before, "it is the same trainer"
        done = service.wait(job_id, seconds=240)
        assert (done["status"], done["attempt"]) == ("succeeded", 1), done["error"]
        assert done["model"]["weights_sha256"] == undisturbed(training=LONGER)
    matrix(
        "D1", f"PostgreSQL is restarted while a job trains ({mode}), {away:.0f} s away",
        promise="503 with Retry-After, training undisturbed, no attempt charged",
        measured=f"{len(refused)} answers 503, answers again after {back:.1f} s; 1 attempt, the same weights",
    )  # fmt: skip


@pytest.mark.faults
def test_a_job_that_ends_while_the_database_is_away_succeeds_when_it_is_back(
    postgres, tmp_path, encoder, undisturbed, matrix
):
    database = {"TUNERY_DATABASE_URL": postgres.create_database()}
    with running(tmp_path / "home", encoder, **IMPATIENT, **database) as service:
        job_id = service.train(training=LONG)
        service.wait_for_step(job_id, 20)
        postgres.stop("immediate")
        deadline = time.monotonic() + 120
        while trainers(service):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        postgres.start()
        done = service.wait(job_id)
        assert (done["status"], done["attempt"]) == ("succeeded", 1), done["error"]
        assert done["model"]["weights_sha256"] == undisturbed(training=LONG)
        assert done["progress"]["step"] == done["progress"]["max_steps"]
    matrix(
        "D1", "PostgreSQL is away when a job ends", promise="no attempt charged, nothing lost",
        measured="succeeds when it is back, 1 attempt, the same weights",
    )  # fmt: skip


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("trouble", ["is down", "hangs"])
def test_nobody_is_reaped_when_the_database_is_back(trouble, postgres, tmp_path, encoder, undisturbed, matrix):
    """Three jobs at a time, a lease of four seconds, an outage of three leases: each lease is over when it ends."""
    settings = {
        "TUNERY_DATABASE_URL": postgres.create_database(),
        "TUNERY_LEASE_SECONDS": str(LEASE_SECONDS),
        "TUNERY_WORKER_SLOTS": "3",
        "TUNERY_WARM_START": "0",  # a trainer that waits for the nursery outlasts so short a lease
    }
    with running(tmp_path / "home", encoder, **IMPATIENT, **settings) as service:
        jobs = {seed: service.train(seed=seed, training=LONGER) for seed in (1, 2, 3)}
        for job_id in jobs.values():
            service.wait_for_step(job_id, 5)
        begun = time.monotonic()
        if trouble == "is down":
            postgres.stop("immediate")
            time.sleep(3 * LEASE_SECONDS)
            postgres.start()
        else:
            with frozen(postgres):
                time.sleep(3 * LEASE_SECONDS)
        away = time.monotonic() - begun
        for seed, job_id in jobs.items():
            done = service.wait(job_id, seconds=280)
            assert (done["status"], done["attempt"]) == ("succeeded", 1), service.events(job_id)
            assert done["model"]["weights_sha256"] == undisturbed(seed=seed, training=LONGER)
    matrix(
        "D2", f"PostgreSQL {trouble} for {away:.0f} s, a lease is {LEASE_SECONDS} s, 3 jobs train",
        promise="nobody is reaped when it is back", measured="1 attempt each, the same weights",
    )  # fmt: skip


@contextmanager
def frozen(server: PostgresServer) -> Iterator[None]:
    """Every process of the server stands still while the block lasts."""
    postmaster = server.process.pid
    group = [postmaster, *map(int, Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split())]
    for pid in group:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in group:
            os.kill(pid, signal.SIGCONT)
