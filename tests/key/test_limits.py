"""Row A8 of the fault matrix: what is more than a project may use is refused, with when to ask again."""

import threading

import pytest
from fastapi.testclient import TestClient

from app import caller
from app.caller import Caller
from app.db import transaction
from app.errors import TooManyRequests
from app.job import lifecycle, quota, requests, service
from app.job.models import Job
from app.job.states import JobStatus
from app.key import limits, projects
from app.key.schemas import Limits
from app.main import create_app
from tests.job.conftest import insert_job
from tests.key.conftest import bearer

ROWS = "".join(f'{{"text": "good number {n}", "label": {n % 2}}}\n' for n in range(8))
SPEC = {"model": "acme/model", "dataset": {"validation": 0.25}}


@pytest.fixture(autouse=True)
def _forget():
    limits.forget()
    yield
    limits.forget()


@pytest.fixture
def asked(sqlite_home):
    with TestClient(create_app(), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client


def refused(answer, status, code):
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    return answer


def test_one_job_more_than_may_wait_is_refused_until_one_runs(asked, project, make_key):
    projects.set_limits(project, Limits(max_queued_jobs=2))
    headers = bearer(make_key(project))
    file_id = upload(asked, headers).json()["id"]
    spec = {**SPEC, "dataset": {**SPEC["dataset"], "train": file_id}}
    made = [asked.post("/jobs", json=spec, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 201]
    third = refused(asked.post("/jobs", json=spec, headers=headers), 429, "too_many_queued_jobs")
    assert int(third.headers["retry-after"]) >= 1
    other = asked.post("/jobs", json={**spec, "dataset": {**SPEC["dataset"], "train": upload(asked, bearer(make_key())).json()["id"]}},
                       headers=bearer(make_key()))  # fmt: skip
    assert other.status_code == 201, "another project has a queue of its own"
    asked.post(f"/jobs/{made[0].json()['id']}/cancel", headers=headers)
    assert asked.post("/jobs", json=spec, headers=headers).status_code == 201


def test_a_paused_job_goes_back_to_the_queue_only_if_it_may_wait_there(database, project):
    projects.set_limits(project, Limits(max_queued_jobs=1))
    with caller.acting_for(Caller(project_id=project)):
        paused = insert_job(status=JobStatus.PAUSED, best_metrics={"step": 3})
        waiting = insert_job()
        for ask in (requests.resume, requests.stop):
            with pytest.raises(TooManyRequests) as caught:
                ask(paused)
            assert caught.value.code == "too_many_queued_jobs"
        stored = service.get_job(paused)
        assert (stored.status, stored.request) == ("paused", None), "nothing is left of what was refused"
        assert requests.resume(waiting).status == "queued", "what waits already is no more than before"
        requests.pause(waiting)
        assert requests.resume(paused).status == "queued"
        requests.pause(paused)
        assert requests.stop(paused).status == "queued"


def test_the_answer_to_a_resume_beyond_the_limit_says_when_to_ask_again(asked, project, make_key):
    projects.set_limits(project, Limits(max_queued_jobs=1))
    headers = bearer(make_key(project))
    with caller.acting_for(Caller(project_id=project)):
        paused, _ = insert_job(status=JobStatus.PAUSED), insert_job()
    for path in (f"/jobs/{paused}/resume", f"/v1/fine_tuning/jobs/{paused}/resume"):
        answer = refused(asked.post(path, headers=headers), 429, "too_many_queued_jobs")
        assert int(answer.headers["retry-after"]) >= 1


def upload(asked, headers):
    return asked.post("/files", files={"file": ("rows.jsonl", ROWS)}, headers=headers)


def test_two_at_a_time_do_not_get_past_the_limit(database, project):
    projects.set_limits(project, Limits(max_queued_jobs=1))
    both, outcomes = threading.Barrier(2), []

    def submit():
        both.wait()
        with caller.acting_for(Caller(project_id=project)):
            try:
                with transaction() as session:
                    quota.refuse_beyond(session)
                    session.add(a_job())
                outcomes.append("stored")
            except TooManyRequests:
                outcomes.append("refused")

    threads = [threading.Thread(target=submit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "stored"]


def a_job():
    from app import ids
    from app.clock import utc_now

    return Job(id=ids.new_id(ids.JOB), status=JobStatus.QUEUED, spec={}, requested_spec={}, job_metadata={}, progress={},
               warnings=[], timings={}, created_at=utc_now(), not_before=utc_now())  # fmt: skip


def test_a_project_that_has_stored_what_it_may_uploads_no_more(asked, project, make_key, settings_home):
    headers = bearer(make_key(project))
    first = upload(asked, headers).json()
    projects.set_limits(project, Limits(max_stored_bytes=first["bytes"] + 10))
    refused(upload(asked, headers), 413, "storage_used_up")
    assert len(list((settings_home / "artefacts/files").iterdir())) == 1, "nothing is left of it"
    asked.delete(f"/files/{first['id']}", headers=headers)
    assert upload(asked, headers).status_code == 201


def test_a_project_asks_models_no_more_often_than_it_may_and_others_are_not_held_up(asked, project, make_key):
    projects.set_limits(project, Limits(max_predictions_per_minute=2))
    ours, others = bearer(make_key(project)), bearer(make_key())
    question = {"model": "ft:tiny:tunery::0", "inputs": "a"}
    assert [asked.post("/predict", json=question, headers=ours).status_code for _ in range(2)] == [404, 404]
    third = refused(asked.post("/predict", json=question, headers=ours), 429, "too_many_predictions")
    assert 1 <= int(third.headers["retry-after"]) <= 30
    assert asked.post("/models/ft:tiny:tunery::0", json={"inputs": "a"}, headers=ours).status_code == 429
    assert asked.post("/predict", json=question, headers=others).status_code == 404


def test_a_stream_more_than_may_be_open_is_refused(asked, project, make_key):
    from app.api import rates

    projects.set_limits(project, Limits(max_event_streams=1))
    headers = {**bearer(make_key(project)), "accept": "text/event-stream"}
    with caller.acting_for(Caller(project_id=project)):
        running, over = insert_job(status=JobStatus.RUNNING), insert_job(status=JobStatus.CANCELLED)
    with rates.stream_of(Caller(project_id=project)):  # one that somebody reads
        answer = refused(asked.get(f"/jobs/{running}/events", headers=headers), 429, "too_many_streams")
        assert int(answer.headers["retry-after"]) >= 1
        assert asked.get(f"/jobs/{running}/events", headers=bearer(make_key(project))).status_code == 200
    for _ in range(2):  # each ends by itself, and is counted no more
        assert asked.get(f"/jobs/{over}/events", headers=headers).status_code == 200


def test_no_more_jobs_of_a_project_are_claimed_than_may_run(database, project, monkeypatch):
    monkeypatch.setenv("TUNERY_MAX_RUNNING_JOBS", "2")
    from app.config import get_settings

    get_settings.cache_clear()
    projects.set_limits(project, Limits(max_running_jobs=1))

    for who in (project, "default"):
        with caller.acting_for(Caller(project_id=who)):
            for _ in range(3):
                insert_job()

    def next_one() -> str | None:
        with transaction() as session:
            claimed = lifecycle.claim_next(session, worker_id="worker")
        return None if claimed is None else claimed.project_id

    assert sorted(filter(None, [next_one() for _ in range(4)])) == sorted(["default", "default", project])


def test_admins_limit_projects_over_http_and_take_limits_back(asked, project, make_key):
    headers = bearer(make_key(scopes=["admin"]))
    changed = asked.post(f"/projects/{project}", json={"max_queued_jobs": 5, "max_event_streams": 3}, headers=headers)
    assert changed.json()["limits"]["max_queued_jobs"] == 5
    changed = asked.post("/projects/ours", json={"max_queued_jobs": None}, headers=headers).json()
    assert (changed["limits"]["max_queued_jobs"], changed["limits"]["max_event_streams"]) == (None, 3)
    assert asked.post(f"/projects/{project}", json={"max_jobs": 5}, headers=headers).status_code == 422
    assert asked.post("/projects/none", json={}, headers=headers).status_code == 422
