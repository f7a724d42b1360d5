"""Rows P9 and S2: the API dies while it stores a job, and one request is sent twenty times at once."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from app.failpoints import FAILPOINTS
from tests.faults.conftest import IMPATIENT, QUICK_FAILPOINTS, running
from tests.faults.test_broker import ONE_STEP
from tests.road.tiny import reviews

pytestmark = pytest.mark.xdist_group("faults")

STORED = {"job.checked": 0, "job.inserted": 0, "job.stored": 1, "job.woken": 1}
"""How many jobs there are once the API has died there."""


def job_ids(service, *, besides=()):
    return [job["id"] for job in service.again("GET", "/jobs").json()["data"] if job["id"] not in besides]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK_FAILPOINTS else pytest.mark.faults) for name in STORED]
)
def test_a_job_whose_api_is_killed_is_absent_or_there_once(name, armed, matrix):
    with armed(name) as at:
        service, before = at.service, job_ids(at.service)
        spec = {"model": "tiny-bert", "dataset": {"train": service.upload(reviews(40, seed=1))}, "training": ONE_STEP}
        mark = at.arm(name)

        with pytest.raises(httpx2.TransportError):
            service.http.post("/jobs", json=spec)
        assert mark.exists(), "nothing came there"
        without_key = job_ids(service, besides=before)
        assert len(without_key) == STORED[name]

        mark.unlink()
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        with pytest.raises(httpx2.TransportError):
            service.http.post("/jobs", json=spec, headers=headers)
        assert mark.exists(), "nothing came there"
        between = job_ids(service, besides=before)
        assert len(between) == 2 * STORED[name]
        again = [service.again("POST", "/jobs", json=spec, headers=headers) for _ in range(2)]
        assert {answer.status_code for answer in again} == {201}
        assert len({answer.json()["id"] for answer in again}) == 1
        if STORED[name]:
            assert again[0].json()["id"] == between[0]
        jobs = job_ids(service, besides=before)
        assert sorted(jobs) == sorted({*without_key, again[0].json()["id"]})
        for job_id in jobs:
            assert service.wait(job_id)["status"] == "succeeded"
    told = "there once" if STORED[name] else "absent"
    matrix(
        "P9", f"kill -9 of the API at `{name}`: {FAILPOINTS[name]}", promise="absent or there once; a retry gives the same id",
        measured=f"{told} without a key; one with it, however often it is sent",
    )  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["SQLite", "PostgreSQL"])
def test_a_request_that_is_sent_twenty_times_at_once_makes_one_job(kind, request, tmp_path, encoder, matrix):
    settings = {}
    if kind == "PostgreSQL":
        settings["TUNERY_DATABASE_URL"] = request.getfixturevalue("postgres_server").create_database()
    with running(tmp_path / "home", encoder, **IMPATIENT, **settings) as service:
        spec = {"model": "tiny-bert", "dataset": {"train": service.upload(reviews(40, seed=1))}, "training": ONE_STEP}
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        together = threading.Barrier(20)

        def post(_):
            with httpx2.Client(base_url=service.http.base_url, timeout=60) as http:
                together.wait()
                return http.post("/jobs", json=spec, headers=headers)

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(post, range(20)))
        assert [answer.status_code for answer in answers] == [201] * 20
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
        other = service.http.post("/jobs", json=spec | {"suffix": "other"}, headers=headers)
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
        (job_id,) = job_ids(service)
        assert service.wait(job_id)["status"] == "succeeded"
    matrix(
        "S2", f"20 POST /jobs at once with one Idempotency-Key, {kind}", promise="one job; 422 for another body",
        measured="20 times 201 with one id, one job; 422",
    )  # fmt: skip
