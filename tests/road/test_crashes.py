"""kill -9 of the trainer, of the worker and of everything, in the middle of a job: the job succeeds all the same."""

import os
import signal

import pytest

from tests.road.conftest import Service
from tests.stack.processes import Up, eventually

pytestmark = pytest.mark.xdist_group("road")


def assert_it_ends_as_undisturbed(service: Service, *, victim: str, weights: str) -> None:
    job_id = service.train()
    service.wait_for(job_id, lambda job: job["progress"]["step"] > 120)
    trainer = service.up.pid_of("worker.trainer")
    os.kill(service.up.pid_of(victim), signal.SIGKILL)
    assert eventually(lambda: trainer not in service.up.children(), seconds=5)
    job = service.wait(job_id)
    assert job["status"] == "succeeded", job["error"]
    assert job["attempt"] == 2
    assert job["model"]["weights_sha256"] == weights


def test_a_job_whose_trainer_is_killed_ends_with_the_same_weights(service, undisturbed):
    assert_it_ends_as_undisturbed(service, victim="worker.trainer", weights=undisturbed)


@pytest.mark.faults
def test_a_job_whose_worker_is_killed_ends_with_the_same_weights(own_service, undisturbed):
    assert_it_ends_as_undisturbed(own_service, victim="worker.main", weights=undisturbed)


@pytest.mark.faults
def test_a_job_survives_the_death_of_the_whole_service(own_service, undisturbed):
    job_id = own_service.train()
    own_service.wait_for(job_id, lambda job: job["progress"]["step"] > 120)
    own_service.up.process.kill()
    own_service.up.process.wait()
    again = Up(own_service.up.home)
    try:
        service = Service(again, again.wait_ready())
        job = service.wait(job_id)
        assert job["status"] == "succeeded", job["error"]
        assert job["attempt"] >= 2
        assert job["model"]["weights_sha256"] == undisturbed
    finally:
        again.clean_up()


def test_stopping_the_service_drains_the_job_and_the_next_start_finishes_it(service, undisturbed):
    job_id = service.train()
    service.wait_for(job_id, lambda job: job["progress"]["step"] > 60)
    service.restart()
    job = service.wait(job_id)
    assert job["status"] == "succeeded", job["error"]
    events = service.http.get(f"/jobs/{job_id}/events", params={"limit": 1000}).json()["data"]
    resumed = [e["data"]["resumed_from_step"] for e in events if e["data"] and "resumed_from_step" in e["data"]]
    assert resumed[0] == 0
    assert resumed[1] > 60, "it goes on where it was stopped, not from the last scheduled checkpoint"
    assert job["model"]["weights_sha256"] == undisturbed
