"""Jobs of a whole service whose trainers are born warm."""

import os
import signal
import sys

import pytest

from tests.road.tiny import reviews
from tests.stack.processes import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere trainers start cold")


SHORT = {"per_device_train_batch_size": 8, "num_train_epochs": 12, "eval_strategy": "no", "save_strategy": "no"}
LONG = SHORT | {"num_train_epochs": 2000}


def nurseries(service) -> dict[int, str]:
    return {pid: line for pid, line in service.up.children().items() if line.startswith("nursery:")}


def trainers(service) -> dict[int, str]:
    return {pid: line for pid, line in service.up.children().items() if "worker.trainer" in line}


@pytest.mark.long
def test_jobs_run_on_when_the_nursery_is_killed_and_nothing_of_them_is_left(own_service):
    data = {"train": own_service.upload(reviews(200, seed=1))}

    def submit(training: dict) -> str:
        return own_service.submit(model="tiny-bert", dataset=data, training=training)

    assert eventually(lambda: "the nursery is ready" in own_service.up.log(), seconds=30)
    (nursery,) = nurseries(own_service)
    running = submit(SHORT)
    own_service.wait_for(running, lambda job: job["progress"]["step"] > 0)
    (trainer,) = trainers(own_service).values()
    assert trainer.startswith("trainer: ")
    os.kill(nursery, signal.SIGKILL)
    for job_id in (running, submit(SHORT)):
        job = own_service.wait(job_id)
        assert (job["status"], job["attempt"]) == ("succeeded", 1)
    assert eventually(lambda: nurseries(own_service), seconds=30)
    assert nursery not in nurseries(own_service)

    cancelled = submit(LONG)
    own_service.wait_for(cancelled, lambda job: job["progress"]["step"] > 0)
    own_service.http.post(f"/jobs/{cancelled}/cancel")
    assert own_service.wait(cancelled)["status"] == "cancelled"
    assert trainers(own_service) == {}
    assert own_service.up.stop() == 0
    assert own_service.up.children() == {}
