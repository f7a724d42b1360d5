"""Cancelling, ending and losing a job at the same moment: exactly one outcome, whoever comes first (rows S1 and P6)."""

import threading
import time

import pytest

from app import host
from app.db import now, transaction
from app.errors import Conflict
from app.job import lifecycle, repository, requests, service
from app.job.models import WorkerPresence
from app.sweep import Sweep, running
from tests.job.test_lifecycle import claim, load


class Cancelling(threading.Thread):
    """Cancels the job meanwhile; ``outcome`` is the job's status as it was answered, or what was raised."""

    def __init__(self, job_id):
        super().__init__()
        self.job_id = job_id
        self.outcome = None

    def run(self):
        try:
            self.outcome = requests.cancel(self.job_id).status
        except Conflict as error:
            self.outcome = error


def cancel_during(job_id, change):
    """Ask to cancel while the transaction of ``change`` has written, but has not yet committed."""
    cancelling = Cancelling(job_id)
    with transaction() as session:
        change(session)
        session.flush()
        cancelling.start()
        time.sleep(0.3)
    cancelling.join(timeout=15)
    return cancelling.outcome


def messages(job_id):
    return [event.message for event in service.list_events(job_id, after=None, limit=100).data]


def test_a_job_that_succeeds_just_then_is_not_cancelled(job):
    current = claim().claim
    outcome = cancel_during(job, lambda session: lifecycle.succeed(session, current, model_id="ft:x"))
    assert isinstance(outcome, Conflict)
    assert (load(job).status, load(job).request) == ("succeeded", None)
    assert "has succeeded" in messages(job)[-1], "nothing happens to a job after its end"


def test_a_job_that_is_drained_just_then_is_cancelled_in_the_queue(job):
    current = claim().claim
    assert cancel_during(job, lambda session: lifecycle.drained(session, current)) == "cancelled"
    assert load(job).status == "cancelled"
    assert claim() is None


def test_a_job_that_is_claimed_just_then_is_running_and_told_to_stop(job):
    claimed = []
    outcome = cancel_during(job, lambda session: claimed.append(lifecycle.claim_next(session, worker_id="worker-a")))
    assert outcome == "running"
    with transaction() as session:
        assert lifecycle.asked_for(session, claimed[0].claim) == "cancel"


@pytest.mark.parametrize("ending", ["drained", "crashed"])
def test_a_job_to_be_cancelled_is_not_tried_again(job, ending):
    current = claim().claim
    requests.cancel(job)
    with transaction() as session:
        if ending == "drained":
            lifecycle.drained(session, current)
        else:
            lifecycle.crashed(session, current, code="trainer_crashed", message="It died.")
    assert load(job).status == "cancelled"
    assert messages(job)[-1] == "The job was cancelled."


def test_a_job_that_a_living_worker_has_taken_over_is_not_taken_from_it(job, monkeypatch):
    """Two sweeps see the same dead worker; the slower one must not reap the successor."""
    with transaction() as session:
        moment = now(session)
        session.add(WorkerPresence(id="worker-a", host=host.identity(), pid=2**22 - 1, process_started=1, slots=1,
                                   started_at=moment, seen_at=moment))  # fmt: skip
    claim("worker-a")
    slower, really_alive = Sweep(), host.is_alive

    def meanwhile(pid, *, started_at):
        monkeypatch.setattr(host, "is_alive", really_alive)
        alive = really_alive(pid, started_at=started_at)
        Sweep().once()
        assert claim("worker-b").claim.job_id == job
        return alive

    monkeypatch.setattr(host, "is_alive", meanwhile)
    slower.once()
    assert (load(job).status, load(job).worker_id, load(job).num_losses) == ("running", "worker-b", 1)


def test_a_lease_that_is_renewed_while_the_sweep_looks_is_not_ended(job):
    current = claim().claim
    with transaction() as session:
        repository.get(session, job).lease_until = now(session).replace(year=2000)
    sweep = Sweep()
    sweep._reachable_since = -1e9
    with transaction() as session:
        lifecycle.write(session, current, phase="training")
        sweeping = threading.Thread(target=sweep.once)
        sweeping.start()
        time.sleep(0.3)
    sweeping.join(timeout=15)
    assert (load(job).status, load(job).num_losses) == ("running", 0)


def test_the_sweep_goes_on_after_a_round_that_failed(sqlite_home, monkeypatch):
    monkeypatch.setenv("TUNERY_SWEEP_SECONDS", "0.01")
    from tests.conftest import reset_process_state

    reset_process_state()
    rounds = []

    def each_round():
        rounds.append(1)
        raise FileNotFoundError("a folder that was removed while it was looked at")

    with running(each_round):
        deadline = time.monotonic() + 5
        while len(rounds) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(rounds) >= 3
