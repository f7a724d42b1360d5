"""Rows P: workers and trainers are killed, stopped and told to leave, alone and all at once."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from app.host import command_lines
from tests.faults.conftest import IMPATIENT, LONG, running
from tests.road.conftest import assert_all_is_well
from tests.stack.processes import ROOT, eventually

pytestmark = pytest.mark.xdist_group("faults")


def trainers(service) -> list[int]:
    return [pid for pid, words in service.up.children().items() if "-m worker.trainer" in words]


def is_alive(pid: int) -> bool:
    return pid in command_lines()


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> float:
    """When it was sent, by this process's monotonic clock."""
    os.kill(pid, number)
    return time.monotonic()


def seconds_until(condition, *, since: float, within: float = 120) -> float:
    assert eventually(condition, seconds=within)
    return time.monotonic() - since


def test_killing_the_worker_ends_its_trainer_and_the_job_is_claimed_again(production, undisturbed, matrix):
    expected = undisturbed(training=LONG)
    job_id = production.train(training=LONG)
    production.wait_for_step(job_id, 120)
    [trainer] = trainers(production)
    at = kill(production.up.pid_of("worker.main"))
    gone = seconds_until(lambda: not is_alive(trainer), since=at, within=5)
    claimed = seconds_until(lambda: production.job(job_id)["attempt"] == 2, since=at, within=75)
    job = production.wait(job_id)
    assert job["status"] == "succeeded", job["error"]
    assert job["model"]["weights_sha256"] == expected
    assert any("Its worker died" in event["message"] for event in production.events(job_id))
    assert_all_is_well(production.up.home)
    matrix(
        "P1", "kill -9 of the worker, production values", promise="trainer gone ≤ 5 s, claimed again ≤ 75 s",
        measured=f"{gone:.1f} s, {claimed:.1f} s",
    )  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_trainer_that_dies_is_seen_at_once_and_its_job_goes_on(number, tmp_path, encoder, undisturbed, matrix):
    """At production values."""
    expected = undisturbed(training=LONG)
    with running(tmp_path / "home", encoder) as service:
        job_id = service.train(training=LONG)
        service.wait_for_step(job_id, 120)
        at = kill(trainers(service)[0], number)
        seen = seconds_until(lambda: "crashes" in str(service.events(job_id)[-4:]), since=at)
        resumed = seconds_until(lambda: service.job(job_id)["attempt"] == 2, since=at, within=15)
        job = service.wait(job_id)
        assert (job["status"], job["attempt"]) == ("succeeded", 2), job["error"]
        assert job["model"]["weights_sha256"] == expected
    matrix(
        "P3", f"{number.name} of the trainer, production values", promise="seen ≤ 2 s, claimed again ≤ 15 s",
        measured=f"{seen:.1f} s, {resumed:.1f} s",
    )  # fmt: skip


@contextmanager
def second_worker(service, **settings: str):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TUNERY_")}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | settings
    command = [sys.executable, "-P", "-m", "app.cli", "worker", "--home", str(service.up.home)]
    with (service.up.home.parent / "second.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            yield process
        finally:
            process.terminate()
            process.send_signal(signal.SIGCONT)
            process.wait(timeout=40)


@pytest.mark.faults
def test_a_worker_that_is_stopped_past_its_lease_writes_nothing_any_more(tmp_path, encoder, undisturbed, matrix):
    expected = undisturbed(training=LONG)
    settings = IMPATIENT | {"TUNERY_LEASE_SECONDS": "10"}
    with running(tmp_path / "home", encoder, **settings) as service, second_worker(service, **settings):
        job_id = service.train(training=LONG)
        service.wait_for_step(job_id, 60)
        # The first trainer belongs to whichever worker was quicker; its parent is the one to stop.
        [trainer] = trainers(service)
        worker = int(subprocess.check_output(["ps", "-o", "ppid=", "-p", str(trainer)]))
        kill(worker, signal.SIGSTOP)
        job = service.wait(job_id)
        assert (job["status"], job["attempt"]) == ("succeeded", 2), job["error"]
        assert job["model"]["weights_sha256"] == expected
        before = service.events(job_id)
        at = kill(worker, signal.SIGCONT)
        gone = seconds_until(lambda: not is_alive(trainer), since=at, within=30)
        time.sleep(2)
        assert service.events(job_id) == before
        assert service.job(job_id) == job
    matrix(
        "P6", "SIGSTOP of the worker past its lease, then SIGCONT", promise="the successor finishes, the zombie writes 0 rows",
        measured=f"0 rows; its trainer was gone after {gone:.1f} s",
    )  # fmt: skip


@pytest.mark.faults
def test_a_trainer_that_is_killed_three_times_fails_its_job_and_no_other(tmp_path, encoder, matrix):
    with running(tmp_path / "home", encoder, TUNERY_RETRY_BACKOFF_SECONDS="0.5", **IMPATIENT) as service:
        job_id = service.train(training=LONG | {"num_train_epochs": 400})
        for attempt in (1, 2, 3):
            service.wait_for(job_id, lambda job, n=attempt: job["attempt"] == n and job["phase"] == "training")
            kill(trainers(service)[0])
        job = service.wait(job_id)
        assert (job["status"], job["error"]["code"], job["attempt"]) == ("failed", "out_of_memory", 3)
        assert service.wait(service.train())["status"] == "succeeded"
    matrix(
        "P7", "the trainer is killed (exit 137) three times", promise="`out_of_memory`, the next job runs",
        measured="failed after 3, the next succeeded",
    )  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize("moment", ["training", "training, twice", "right after the claim", "idle"])
def test_a_worker_that_is_told_to_leave_drains(moment, tmp_path, encoder, undisturbed, matrix):
    expected = undisturbed(training=LONG)
    with running(tmp_path / "home", encoder, **IMPATIENT) as service:
        worker = service.up.pid_of("worker.main")
        if moment == "idle":
            at = kill(worker, signal.SIGTERM)
            left = seconds_until(lambda: not is_alive(worker), since=at, within=20)
            job_id = service.train(training=LONG)
        else:
            job_id = service.train(training=LONG)
            if moment == "right after the claim":
                assert eventually(lambda: service.job(job_id)["status"] == "running")
            else:
                service.wait_for_step(job_id, 120)
            at = kill(worker, signal.SIGTERM)
            if moment.endswith("twice"):
                time.sleep(0.05)
                kill(worker, signal.SIGTERM)
            left = seconds_until(lambda: not is_alive(worker), since=at, within=20)
        job = service.wait(job_id)
        assert job["status"] == "succeeded", job["error"]
        assert job["model"]["weights_sha256"] == expected
        began = [event["data"]["resumed_from_step"] for event in service.events(job_id)
                 if "resumed_from_step" in (event["data"] or {})]  # fmt: skip
        if moment == "training":
            assert began[1] >= 120, "a drain loses no more than the step at work"
    matrix(
        "P8", f"SIGTERM of the worker: {moment}", promise="a drain loses one step at most; no row stuck",
        measured=f"it left after {left:.1f} s; {job['attempt']} attempts, begun at steps {began}",
    )  # fmt: skip


@pytest.mark.faults
def test_all_jobs_go_on_when_everything_was_killed(tmp_path, encoder, undisturbed, matrix):
    expected = undisturbed(training=LONG)
    home = tmp_path / "home"
    with running(home, encoder, **IMPATIENT) as service:
        first, second = service.train(training=LONG), service.train()
        service.wait_for_step(first, 120)
        for pid in [service.up.process.pid, *service.up.children()]:
            kill(pid)
        service.up.process.wait()
        assert eventually(lambda: not service.up.children(), seconds=5)
    at = time.monotonic()
    with running(home, encoder, **IMPATIENT) as service:
        for job_id, weights in ((first, expected), (second, undisturbed())):
            job = service.wait(job_id)
            assert job["status"] == "succeeded", job["error"]
            assert job["model"]["weights_sha256"] == weights
    matrix(
        "P11", "kill -9 of every process, a job running and one waiting", promise="all jobs go on",
        measured=f"both succeeded within {time.monotonic() - at:.0f} s of the next start",
    )  # fmt: skip
