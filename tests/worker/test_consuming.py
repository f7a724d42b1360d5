"""A worker process and what it finds in the list of wake-ups (row R3)."""

import os
import subprocess
import sys

import pytest

from app.config import Settings
from app.task_queue import QUEUE, create_celery
from tests.faults.rubbish import rubbish
from tests.faults.valkey import own_valkey
from tests.stack.processes import ROOT, eventually


@pytest.fixture
def valkey():
    with own_valkey() as started:
        yield started


@pytest.fixture
def worker(sqlite_home, valkey):
    """One without jobs."""
    environment = dict(os.environ) | {"PYTHONPATH": str(ROOT), "TUNERY_REDIS_URL": valkey.url, "TUNERY_WARM_START": "0"}
    with (sqlite_home / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.main", "--home", str(sqlite_home)], env=environment, stderr=log
        )
    yield process
    process.kill()
    process.wait()


def is_read(valkey):
    with valkey.client() as client:
        return client.llen(QUEUE) == 0


def test_what_is_no_wake_up_is_dropped_and_the_worker_goes_on(sqlite_home, valkey, worker):
    messages = rubbish(sqlite_home / "canary")
    with valkey.client() as client:
        for message in messages:
            client.lpush(QUEUE, message)
    assert eventually(lambda: is_read(valkey), seconds=20)
    create_celery(Settings(redis_url=valkey.url)).send_task("tunery.run_available_jobs")
    assert eventually(lambda: is_read(valkey), seconds=20)
    assert worker.poll() is None
    assert not (sqlite_home / "canary").exists(), "a pickle was read"
    assert b"is no wake-up" in (sqlite_home / "worker.log").read_bytes()
