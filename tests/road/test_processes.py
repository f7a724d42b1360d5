"""A job of two processes through the whole service: kill -9 of either is one crash, and the job ends as if nothing had been."""

import os
import signal

import pytest

from tests.road.conftest import Service
from tests.road.tiny import reviews
from tests.stack.processes import eventually

pytestmark = pytest.mark.xdist_group("road")

TRAINING = {
    "num_train_epochs": 12, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "save_strategy": "steps",
    "save_steps": 50, "eval_strategy": "steps", "eval_steps": 150,
}  # fmt: skip
HANG_SECONDS = 30


def killed_on_the_way(service: Service, data: str, *, victim: str) -> tuple[dict, list[dict]]:
    """The job and its events, after the process whose command line begins like that was killed."""
    job_id = service.submit(model="tiny-bert", dataset={"train": data}, training=TRAINING, resources={"processes": 2})
    service.wait_for(job_id, lambda job: job["progress"]["step"] > 60)
    first_attempt = {pid: line for pid, line in service.up.children().items() if f"{job_id}/attempt-1" in line}
    assert len(first_attempt) == 2
    os.kill(next(pid for pid, line in first_attempt.items() if line.startswith(victim)), signal.SIGKILL)
    assert eventually(lambda: not first_attempt.keys() & service.up.children().keys(), seconds=5)
    service.wait_for(job_id, lambda job: job["attempt"] == 2 and job["status"] == "running", seconds=HANG_SECONDS)
    job = service.wait(job_id)
    assert job["status"] == "succeeded", job["error"]
    assert job["attempt"] == 2
    assert job["spec"]["resources"] == {"gpus": None, "gpu_memory": None, "processes": 2, "nodes": 1, "fsdp": False}
    events = service.http.get(f"/jobs/{job_id}/events", params={"limit": 1000}).json()["data"]
    assert [event["data"]["crashes"] for event in events if "crashes" in (event["data"] or {})] == [1]
    resumed = [e["data"]["resumed_from_step"] for e in events if "resumed_from_step" in (e["data"] or {})]
    assert resumed[0] == 0 < resumed[1]
    return job, events


def test_killing_either_of_two_processes_costs_one_attempt_and_changes_no_weight(service):
    data = service.upload(reviews(240, seed=1))
    first, events = killed_on_the_way(service, data, victim="trainer, rank 1 of 2")
    assert any("Rank 1 of 2 processes was killed (SIGKILL)" in event["message"] for event in events)
    second, _ = killed_on_the_way(service, data, victim="trainer: ")
    assert first["model"]["weights_sha256"] == second["model"]["weights_sha256"]
    answer = service.http.post("/predict", json={"model": first["id"], "inputs": "this film seemed good and fine"})
    assert answer.json()["predictions"][0][0]["label"] == "praise"
