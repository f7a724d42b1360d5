"""Pause, resume, stop and retry over HTTP, with real trainers."""

import pytest

from tests.road.conftest import TRAINING
from tests.road.tiny import reviews

pytestmark = pytest.mark.xdist_group("road")


def trainers(service) -> list[str]:
    return [arguments for arguments in service.up.children().values() if "worker.trainer" in arguments]


def test_a_paused_and_resumed_job_ends_with_the_same_weights(service, undisturbed):
    job_id = service.train()
    service.wait_for(job_id, lambda job: job["progress"]["step"] > 60)
    asked = service.http.post(f"/jobs/{job_id}/pause").json()
    assert (asked["status"], asked["request"]["action"]) == ("running", "pause")
    paused = service.wait_for(job_id, lambda job: job["status"] == "paused", seconds=30)
    assert paused["request"] is None
    assert trainers(service) == []
    assert service.http.post(f"/jobs/{job_id}/resume").json()["status"] == "queued"
    job = service.wait(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    events = service.http.get(f"/jobs/{job_id}/events", params={"limit": 1000}).json()["data"]
    resumed = [e["data"]["resumed_from_step"] for e in events if e["data"] and "resumed_from_step" in e["data"]]
    assert resumed == [0, resumed[1]]
    assert resumed[1] > 60
    assert job["model"]["weights_sha256"] == undisturbed


def test_a_stopped_job_succeeds_with_the_best_model_so_far(service):
    training = TRAINING | {"num_train_epochs": 4000}
    job_id = service.submit(
        model="tiny-bert", dataset={"train": service.upload(reviews(240, seed=2))}, training=training
    )
    service.wait_for(job_id, lambda job: job["metrics"]["latest"] is not None)
    service.http.post(f"/jobs/{job_id}/stop")
    job = service.wait(job_id)
    assert (job["status"], job["request"]["action"]) == ("succeeded", "stop"), job["error"]
    assert job["progress"]["step"] == job["metrics"]["latest"]["step"] < job["progress"]["max_steps"]
    assert job["progress"]["eta_seconds"] is None
    answer = service.http.post("/predict", json={"model": job_id, "inputs": "this film seemed great again"})
    assert answer.json()["predictions"][0][0]["label"] == "praise"

    again = service.http.post(f"/jobs/{job_id}/retry", json={"training": {"num_train_epochs": 2}}).json()
    assert service.wait(again["id"])["status"] == "succeeded"


def test_a_paused_job_can_be_stopped_and_then_has_a_model(service):
    training = TRAINING | {"num_train_epochs": 4000}
    job_id = service.submit(
        model="tiny-bert", dataset={"train": service.upload(reviews(240, seed=3))}, training=training
    )
    service.wait_for(job_id, lambda job: job["metrics"]["best"] is not None)
    service.http.post(f"/jobs/{job_id}/pause")
    service.wait_for(job_id, lambda job: job["status"] == "paused", seconds=30)
    assert service.http.post(f"/jobs/{job_id}/stop").json()["status"] == "queued"
    job = service.wait(job_id)
    assert job["status"] == "succeeded", job["error"]
