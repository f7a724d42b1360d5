"""Row S1: a job is cancelled in each state and phase, twice, with the broker away, and with a trainer that does not listen."""

import os
import signal
import time

import pytest

from tests.faults.conftest import IMPATIENT, LONG, running
from tests.faults.test_processes import is_alive, trainers

ENDLESS = LONG | {"num_train_epochs": 4000}


def cancel(service, job_id: str) -> float:
    """How many seconds it took to be accepted."""
    at = time.monotonic()
    answer = service.http.post(f"/jobs/{job_id}/cancel")
    assert answer.status_code == 200, answer.text
    return time.monotonic() - at


def cancelled(service, job_id: str) -> dict:
    job = service.wait(job_id, seconds=60)
    assert (job["status"], job["model"]) == ("cancelled", None), job
    assert [event["message"] for event in service.events(job_id)].count("The job was cancelled.") == 1
    return job


@pytest.mark.faults
def test_a_job_is_cancelled_in_each_state_and_phase(tmp_path, encoder, matrix):
    accepted, free = [], []
    with running(tmp_path / "home", encoder, **IMPATIENT) as service:
        for phase in ("preparing", "validating", "tokenizing", "training", "evaluating", "saving"):
            training = ENDLESS | ({"eval_steps": 1, "eval_strategy": "steps"} if phase == "evaluating" else {})
            training |= {"save_steps": 1} if phase == "saving" else {}
            job_id, waiting = service.train(training=training), service.train()
            # Short phases are over before they are seen: then it is cancelled in the one after.
            for _ in range(200):
                job = service.job(job_id)
                if job["status"] == "running" and job["phase"] in {phase, "training"}:
                    break
                time.sleep(0.01)
            accepted += [cancel(service, waiting), cancel(service, job_id), cancel(service, job_id)]
            at = time.monotonic()
            cancelled(service, waiting)
            cancelled(service, job_id)
            assert trainers(service) == [], "the job is cancelled when its trainer is gone, and not before"
            free.append(time.monotonic() - at)
            assert service.http.post(f"/jobs/{job_id}/cancel").json()["status"] == "cancelled"
        done = service.wait(service.train())
        assert service.http.post(f"/jobs/{done['id']}/cancel").status_code == 409
    matrix(
        "S1", "cancel while waiting and in each phase, twice", promise="one outcome; accepted ≤ 1 s, GPU free ≤ 30 s",
        measured=f"accepted after {max(accepted):.2f} s at most, free after {max(free):.1f} s at most",
    )  # fmt: skip


@pytest.mark.faults
def test_a_trainer_that_does_not_listen_is_killed(tmp_path, encoder, matrix):
    """At production values: it has 20 seconds."""
    with running(tmp_path / "home", encoder, TUNERY_STOP_SECONDS="20") as service:
        job_id = service.train(training=ENDLESS)
        service.wait_for_step(job_id, 20)
        [trainer] = trainers(service)
        os.kill(trainer, signal.SIGSTOP)
        at = time.monotonic()
        cancel(service, job_id)
        cancelled(service, job_id)
        free = time.monotonic() - at
        assert not is_alive(trainer)
        assert free <= 30
    matrix(
        "S1", "cancel with a trainer that is stopped, production values", promise="GPU free ≤ 30 s",
        measured=f"free after {free:.1f} s",
    )  # fmt: skip


@pytest.mark.faults
def test_a_job_is_cancelled_with_the_broker_stopped(tmp_path, encoder, matrix):
    with running(tmp_path / "home", encoder, **IMPATIENT) as service:
        job_id = service.train(training=ENDLESS)
        service.wait_for_step(job_id, 20)
        broker = service.up.pid_of("valkey")
        os.kill(broker, signal.SIGSTOP)
        try:
            accepted = cancel(service, job_id)
            cancelled(service, job_id)
        finally:
            os.kill(broker, signal.SIGCONT)
    matrix(
        "S1", "cancel with the broker stopped", promise="accepted ≤ 1 s", measured=f"accepted after {accepted:.2f} s",
    )  # fmt: skip
