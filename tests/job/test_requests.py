"""Pause, resume and stop: what waits is changed at once, what runs is asked, and nothing is asked for twice."""

import pytest

from app.db import transaction
from app.errors import Conflict
from app.job import lifecycle, repository, requests, service
from app.job.states import TERMINAL, JobStatus
from tests.job.conftest import insert_job
from tests.job.test_lifecycle import claim, expire, load, reaping_sweep

BEST = {"step": 3, "eval/loss": 0.5}


def end(current, how):
    with transaction() as session:
        match how:
            case "drained":
                lifecycle.drained(session, current)
            case "crashed":
                lifecycle.crashed(session, current, code="trainer_crashed", message="It died.")
            case "succeeded":
                lifecycle.succeed(session, current, model_id="ft:x")


def statuses(job_id):
    events = service.list_events(job_id, after=None, limit=100).data
    return [event.data["status"] for event in events if event.data and "status" in event.data]


def test_a_waiting_job_is_paused_at_once_and_not_claimed_until_it_is_resumed(job):
    assert requests.pause(job).status == "paused"
    assert requests.pause(job).status == "paused"
    assert claim() is None
    assert requests.resume(job).status == "queued"
    assert requests.resume(job).status == "queued"
    assert claim().claim.job_id == job
    assert statuses(job) == ["paused", "queued", "running"]


@pytest.mark.parametrize("ending", ["drained", "crashed", "lost"])
def test_a_running_job_is_paused_once_its_trainer_is_gone(job, ending, monkeypatch):
    current = claim().claim
    asked = requests.pause(job)
    assert (asked.status, asked.request.action) == ("running", "pause")
    with transaction() as session:
        assert lifecycle.asked_for(session, current) == "pause"
    if ending == "lost":
        expire(job)
        reaping_sweep(monkeypatch).once()
    else:
        end(current, ending)
    stored = load(job)
    assert (stored.status, stored.request, stored.worker_id, stored.lease_until) == ("paused", None, None, None)
    assert (stored.num_crashes, stored.num_losses) == (int(ending == "crashed"), int(ending == "lost"))
    assert claim() is None
    requests.resume(job)
    assert claim().claim.attempt == 2


def test_a_job_that_ends_before_it_could_pause_has_ended(job):
    current = claim().claim
    requests.pause(job)
    end(current, "succeeded")
    assert load(job).status == "succeeded"
    with pytest.raises(Conflict):
        requests.resume(job)


def test_a_pause_that_is_withdrawn_is_no_pause(job):
    current = claim().claim
    requests.pause(job)
    resumed = requests.resume(job)
    assert (resumed.status, resumed.request) == ("running", None)
    end(current, "drained")  # the worker had passed it on already
    assert load(job).status == "queued"


def test_a_crash_too_many_fails_a_job_that_was_to_pause(database, settings_home):
    job = insert_job(num_crashes=2)
    current = claim().claim
    requests.pause(job)
    end(current, "crashed")
    assert load(job).status == "failed"


def test_a_cancel_takes_the_place_of_any_other_request(job):
    current = claim().claim
    requests.pause(job)
    requests.cancel(job)
    with transaction() as session:
        assert lifecycle.asked_for(session, current) == "cancel"
    for action in (requests.pause, requests.resume, requests.stop):
        with pytest.raises(Conflict) as refusal:
            action(job)
        assert refusal.value.code == "request_pending"
    end(current, "drained")
    assert load(job).status == "cancelled"


def test_a_stop_stays_asked_for_until_the_job_has_ended(job):
    current = claim().claim
    assert requests.stop(job).request.action == "stop"
    end(current, "drained")
    assert (load(job).status, load(job).request) == ("queued", "stop")
    current = claim().claim
    with transaction() as session:
        assert lifecycle.asked_for(session, current) == "stop"
    end(current, "succeeded")
    assert requests.stop(job).status == "succeeded"


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.PAUSED])
def test_a_waiting_job_is_stopped_only_if_it_has_a_model_to_keep(database, status):
    without, with_one = insert_job(status=status), insert_job(status=status, best_metrics=BEST)
    with pytest.raises(Conflict) as refusal:
        requests.stop(without)
    assert (refusal.value.code, load(without).status) == ("nothing_to_keep", status)
    stopped = requests.stop(with_one)
    assert (stopped.status, stopped.request.action) == ("queued", "stop")


@pytest.mark.parametrize("status", sorted(TERMINAL))
@pytest.mark.parametrize("action", [requests.pause, requests.resume, requests.stop])
def test_nothing_but_a_retry_is_possible_once_a_job_is_over(database, status, action):
    job = insert_job(status=status)
    with pytest.raises(Conflict) as refusal:
        action(job)
    assert refusal.value.code == "job_is_over"
    with transaction() as session:
        assert repository.get(session, job).status == status
