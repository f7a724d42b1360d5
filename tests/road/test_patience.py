"""Row P5: a trainer that hangs is killed and its job goes on; and one that may not run for longer is ended."""

import os
import signal

import pytest

from tests.road.conftest import TRAINING
from tests.road.tiny import reviews

pytestmark = pytest.mark.xdist_group("road")


def test_a_stopped_trainer_is_killed_and_its_job_ends_with_the_same_weights(service, undisturbed):
    job_id = service.train()
    service.wait_for(job_id, lambda job: job["progress"]["step"] > 60)
    os.kill(service.up.pid_of("worker.trainer"), signal.SIGSTOP)
    job = service.wait(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2), job["error"]
    events = service.http.get(f"/jobs/{job_id}/events", params={"limit": 1000}).json()["data"]
    assert "trainer_stalled" in {(event["data"] or {}).get("code") for event in events}
    assert job["model"]["weights_sha256"] == undisturbed


def test_a_job_that_has_had_its_time_fails_and_keeps_its_checkpoints(service):
    job_id = service.submit(
        model="tiny-bert",
        dataset={"train": service.upload(reviews(240, seed=9))},
        training=TRAINING | {"num_train_epochs": 4000, "save_steps": 10},
        max_runtime_seconds=8,
    )
    job = service.wait(job_id)
    assert (job["status"], job["error"]["code"], job["attempt"]) == ("failed", "max_runtime_exceeded", 1)
    saved = service.http.get(f"/jobs/{job_id}/checkpoints").json()["data"]
    assert any(checkpoint["state"] == "committed" for checkpoint in saved)
