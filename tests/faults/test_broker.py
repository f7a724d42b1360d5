"""Rows R1 to R3: the broker hangs, dies, never returns, forgets, or is fed with rubbish. The database's rows are the truth."""

import http.client
import json
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from app.config import Settings
from app.task_queue import QUEUE, TASK, create_celery
from tests.faults.conftest import IMPATIENT, LONG, Tried, running
from tests.faults.rubbish import rubbish
from tests.faults.valkey import own_valkey
from tests.road.tiny import reviews
from tests.stack.processes import eventually

ONE_STEP = {"max_steps": 1, "per_device_train_batch_size": 8, "eval_strategy": "no", "save_strategy": "no"}
ACCEPTED_SECONDS = 1.5
"""What is promised of a POST while the broker is dead or hangs."""
POLLED = IMPATIENT | {"TUNERY_POLL_SECONDS": "1"}


def post_at_once(service: Tried, spec: dict, *, count: int) -> dict[str, float]:
    """Ids of ``count`` jobs that are posted in the same moment, each with the seconds to its answer.

    Connections are open before, and plain: what is measured is the service, not the client.
    """
    body, address = json.dumps(spec), urlsplit(str(service.http.base_url))
    together = threading.Barrier(count)

    def post(_: int) -> tuple[str, float]:
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        connection.connect()
        together.wait()
        begun = time.monotonic()
        connection.request("POST", "/jobs", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        seconds = time.monotonic() - begun
        connection.close()
        assert answer.status == 201, content
        return json.loads(content)["id"], seconds

    with ThreadPoolExecutor(count) as pool:
        return dict(pool.map(post, range(count)))


def one_step_jobs(service: Tried, *, count: int) -> list[str]:
    rows = service.upload(reviews(40, seed=1))
    spec = {"model": "tiny-bert", "dataset": {"train": rows}, "training": ONE_STEP}
    return [service.submit(**spec) for _ in range(count)]


def assert_all_succeed_once(service: Tried, jobs: list[str]) -> None:
    for job_id in jobs:
        job = service.wait(job_id, seconds=240)
        assert (job["status"], job["attempt"]) == ("succeeded", 1), job["error"]


@pytest.mark.faults
@pytest.mark.parametrize("trouble", ["hangs", "is dead"])
def test_fifty_jobs_at_once_are_accepted_while_the_broker_is_away_and_run(trouble, tmp_path, encoder, matrix):
    with own_valkey() as valkey, running(tmp_path / "home", encoder, TUNERY_REDIS_URL=valkey.url, **POLLED) as service:
        rows = service.upload(reviews(40, seed=1))
        spec = {"model": "tiny-bert", "dataset": {"train": rows}, "training": ONE_STEP}
        service.wait(service.submit(**spec))  # the worker's nursery is ready by then, and takes no core any more
        if trouble == "hangs":
            valkey.freeze()
        else:
            valkey.kill()
        jobs = post_at_once(service, spec, count=50)
        assert max(jobs.values()) <= ACCEPTED_SECONDS
        assert_all_succeed_once(service, list(jobs))
    matrix(
        "R1", f"the broker {trouble}, 50 POST /jobs at once", promise=f"201 within {ACCEPTED_SECONDS} s each, all run",
        measured=f"slowest {max(jobs.values()):.2f} s, median {statistics.median(jobs.values()):.2f} s, all succeeded",
    )  # fmt: skip


@pytest.mark.faults
def test_jobs_run_with_a_broker_that_was_never_there(tmp_path, encoder, matrix):
    """With the production pause between two looks at the database."""
    nowhere = f"redis+socket://{tmp_path / 'no.sock'}"
    with running(tmp_path / "home", encoder, TUNERY_REDIS_URL=nowhere) as service:
        assert service.http.get("/health/ready").json()["status"] == "degraded"
        begun = time.monotonic()
        (job_id,) = one_step_jobs(service, count=1)
        service.wait_for(job_id, lambda job: job["attempt"] == 1)
        waited = time.monotonic() - begun
        assert waited <= 20
        assert_all_succeed_once(service, [job_id])
    matrix("R2", "there never is a broker", promise="a job starts within 20 s", measured=f"after {waited:.1f} s")


@pytest.mark.faults
@pytest.mark.parametrize("trouble", ["is restarted empty", "is flushed"])
def test_queued_jobs_outlive_a_broker_that_forgets(trouble, tmp_path, encoder, matrix):
    """100 are queued behind one that runs; 12 are trained and the others cancelled, to save minutes."""
    with own_valkey() as valkey, running(tmp_path / "home", encoder, TUNERY_REDIS_URL=valkey.url, **POLLED) as service:
        first = service.train(training=LONG)
        service.wait_for_step(first, 1)
        queued = one_step_jobs(service, count=100)
        if trouble == "is flushed":
            with valkey.client() as client:
                client.flushall()
        else:
            valkey.kill()
            valkey.start()
        page = service.http.get("/jobs", params={"limit": 100, "status": "queued"}).json()
        assert sorted(job["id"] for job in page["data"]) == sorted(queued)
        for job_id in queued[12:]:
            service.http.post(f"/jobs/{job_id}/cancel").raise_for_status()
        assert_all_succeed_once(service, [first, *queued[:12]])
    matrix(
        "R2", f"the broker {trouble} with 100 jobs queued", promise="none is lost, all run",
        measured="100 of 100 still queued; 12 were run, 88 cancelled to save time",
    )  # fmt: skip


@pytest.mark.faults
def test_a_worker_consumes_again_soon_after_a_long_outage_of_the_broker(tmp_path, encoder, matrix):
    """Longer than the pauses between Celery's own tries would take to grow beyond the promise."""
    settings = {"TUNERY_REDIS_URL": "", "TUNERY_POLL_SECONDS": "600", "TUNERY_SWEEP_SECONDS": "600"}
    with own_valkey() as valkey:
        settings["TUNERY_REDIS_URL"] = valkey.url
        with running(tmp_path / "home", encoder, **settings) as service:
            rows = service.upload(reviews(40, seed=1))
            valkey.kill()
            time.sleep(75)
            valkey.start()
            begun = time.monotonic()
            with valkey.client() as client:
                assert eventually(lambda: _is_consumed(client), seconds=40)
            waited = time.monotonic() - begun
            assert waited <= 15
            job_id = service.submit(model="tiny-bert", dataset={"train": rows}, training=ONE_STEP)
            assert_all_succeed_once(service, [job_id])
    matrix("R2", "the broker is gone for 75 s", promise="consuming again within 15 s", measured=f"after {waited:.1f} s")


def _is_consumed(client) -> bool:
    return any(entry["cmd"] == "brpop" for entry in client.client_list())


@pytest.mark.faults
def test_a_worker_shrugs_off_duplicate_wake_ups_and_rubbish(tmp_path, encoder, undisturbed, matrix):
    with (
        own_valkey() as valkey,
        running(tmp_path / "home", encoder, TUNERY_REDIS_URL=valkey.url, **IMPATIENT) as service,
    ):
        worker = service.up.pid_of("worker.main")
        celery = create_celery(Settings(redis_url=valkey.url))
        first, second = service.train(training=LONG), service.train()
        service.wait_for_step(first, 1)
        for _ in range(50):
            celery.send_task(TASK)
        messages = rubbish(tmp_path / "canary")
        with valkey.client() as client:
            client.lpush(QUEUE, *messages)
            assert_all_succeed_once(service, [first, second])
            assert eventually(lambda: client.llen(QUEUE) == 0, seconds=180), "nobody takes what is left"
        third = service.train(seed=2)
        assert_all_succeed_once(service, [third])
        assert service.job(first)["model"]["weights_sha256"] == undisturbed(training=LONG)
        assert service.up.pid_of("worker.main") == worker, service.up.log()[-4000:]
        assert not (tmp_path / "canary").exists()
    matrix(
        "R3", f"50 wake-ups more than needed, {len(messages)} pieces of rubbish (pickles, 32 MiB, no JSON)",
        promise="no job runs twice, the worker lives", measured="one attempt each, the same process, no pickle was read",
    )  # fmt: skip
