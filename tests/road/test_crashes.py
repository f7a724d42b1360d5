"""kill -9 of the trainer, of the worker and of everything, in the middle of a job: the job succeeds all the same."""

import os
import signal

import pytest

from tests.road.conftest import Service
from tests.road.tiny import reviews
from tests.stack.processes import Up, eventually

TRAINING = {
    "num_train_epochs": 40, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "save_strategy": "steps",
    "save_steps": 50, "eval_strategy": "epoch",
}  # fmt: skip


def submit(service: Service) -> str:
    return service.submit(model="tiny-bert", dataset={"train": service.upload(reviews(240, seed=1))}, training=TRAINING)


def undisturbed(service: Service) -> str:
    job = service.wait(submit(service))
    assert job["status"] == "succeeded", job["error"]
    return job["model"]["weights_sha256"]


@pytest.mark.parametrize("victim", ["worker.trainer", pytest.param("worker.main", marks=pytest.mark.faults)])
def test_a_job_whose_process_is_killed_ends_with_the_same_weights(own_service, victim):
    job_id = submit(own_service)
    own_service.wait_for(job_id, lambda job: job["progress"]["step"] > 120)
    trainer = own_service.up.pid_of("worker.trainer")
    os.kill(own_service.up.pid_of(victim), signal.SIGKILL)
    assert eventually(lambda: trainer not in own_service.up.children(), seconds=5)
    job = own_service.wait(job_id)
    assert job["status"] == "succeeded", job["error"]
    assert job["attempt"] == 2
    assert job["model"]["weights_sha256"] == undisturbed(own_service)


@pytest.mark.faults
def test_a_job_survives_the_death_of_the_whole_service(own_service):
    job_id = submit(own_service)
    own_service.wait_for(job_id, lambda job: job["progress"]["step"] > 120)
    own_service.up.process.kill()
    own_service.up.process.wait()
    again = Up(own_service.up.home)
    try:
        service = Service(again, again.wait_ready())
        job = service.wait(job_id)
        assert job["status"] == "succeeded", job["error"]
        assert job["attempt"] >= 2
        assert job["model"]["weights_sha256"] == undisturbed(service)
    finally:
        again.clean_up()


def test_stopping_the_service_drains_the_job_and_the_next_start_finishes_it(own_service):
    job_id = submit(own_service)
    own_service.wait_for(job_id, lambda job: job["progress"]["step"] > 60)
    assert own_service.up.stop() == 0
    again = Up(own_service.up.home)
    try:
        service = Service(again, again.wait_ready())
        job = service.wait(job_id)
        assert job["status"] == "succeeded", job["error"]
        events = service.http.get(f"/jobs/{job_id}/events", params={"limit": 1000}).json()["data"]
        resumed = [e["data"]["resumed_from_step"] for e in events if e["data"] and "resumed_from_step" in e["data"]]
        assert resumed[0] == 0
        assert resumed[1] > 60, "it goes on where it was stopped, not from the last scheduled checkpoint"
    finally:
        again.clean_up()
