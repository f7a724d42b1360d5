"""Claims, leases, budgets and the one outcome of a job, on SQLite and PostgreSQL."""

import itertools
import threading
from datetime import timedelta

import pytest

import app.sweep
from app import host
from app.db import now, reading, transaction
from app.job import lifecycle, records, repository, requests, service
from app.job.lifecycle import ClaimLost
from app.job.models import Attempt, Job, WorkerPresence
from app.job.states import TERMINAL, TRANSITIONS, JobStatus, check_transition
from app.sweep import Sweep
from tests.job.conftest import insert_job


def claim(worker_id="worker-a"):
    with transaction() as session:
        return lifecycle.claim_next(session, worker_id=worker_id)


def load(job_id) -> Job:
    with reading() as session:
        return repository.get(session, job_id)


@pytest.mark.parametrize(("current", "target"), list(itertools.product(JobStatus, JobStatus)))
def test_only_the_transitions_of_the_table_are_allowed(current, target):
    if target in TRANSITIONS[current]:
        check_transition(current, target)
    else:
        with pytest.raises(ValueError, match="cannot go"):
            check_transition(current, target)


def test_a_job_that_has_ended_goes_nowhere():
    assert all(not TRANSITIONS[status] for status in TERMINAL)


def test_claiming_makes_an_attempt_with_a_token_and_a_lease(job):
    claimed = claim()
    stored = load(job)
    assert claimed.claim.job_id == job
    assert (stored.status, stored.attempt, stored.token, stored.worker_id) == ("running", 1, 1, "worker-a")
    with reading() as session:
        assert now(session) < stored.lease_until < now(session) + timedelta(seconds=61)
        assert session.get(Attempt, (job, 1)).outcome is None


def test_the_oldest_job_of_the_highest_priority_is_claimed_first(database):
    first, second = insert_job(), insert_job()
    urgent = insert_job(priority=5)
    assert [claim().claim.job_id for _ in range(3)] == [urgent, first, second]
    assert claim() is None


def test_a_job_that_must_wait_is_not_claimed_before_its_time(database):
    with reading() as session:
        later = now(session) + timedelta(minutes=1)
    insert_job(not_before=later)
    assert claim() is None


def test_racing_workers_claim_each_job_once(database):
    jobs = {insert_job() for _ in range(30)}
    taken: list[str] = []
    start = threading.Barrier(4)

    def work(name):
        start.wait()
        while (claimed := claim(name)) is not None:
            taken.append(claimed.claim.job_id)

    threads = [threading.Thread(target=work, args=(f"worker-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # SKIP LOCKED may let a claimer see nothing while others hold the last rows; what is left is still claimable.
    while (claimed := claim()) is not None:
        taken.append(claimed.claim.job_id)
    assert sorted(taken) == sorted(jobs)


def expire(job_id):
    with transaction() as session:
        repository.get(session, job_id).lease_until = now(session) - timedelta(seconds=1)


def reaping_sweep(monkeypatch) -> Sweep:
    """A sweep that has seen the database for longer than a lease."""
    sweep = Sweep()
    sweep._reachable_since = -1e9
    return sweep


def test_a_lost_job_is_requeued_and_its_zombie_writes_nothing(job, monkeypatch):
    zombie = claim("worker-a").claim
    expire(job)
    reaping_sweep(monkeypatch).once()
    assert load(job).status == "queued"
    assert load(job).num_losses == 1
    successor = claim("worker-b").claim
    assert successor.token > zombie.token
    for write in (
        lambda s: lifecycle.write(s, zombie, phase="training"),
        lambda s: lifecycle.succeed(s, zombie, model_id="m"),
        lambda s: lifecycle.fail(s, zombie, error={"message": "x"}),
        lambda s: lifecycle.drained(s, zombie),
        lambda s: lifecycle.cancelled(s, zombie),
        lambda s: lifecycle.crashed(s, zombie, code="c", message="m"),
    ):
        with pytest.raises(ClaimLost), transaction() as session:
            write(session)
    assert (load(job).status, load(job).worker_id, load(job).phase) == ("running", "worker-b", None)


def test_nobody_is_reaped_until_the_database_was_reachable_for_a_lease(job):
    claim()
    expire(job)
    Sweep().once()
    assert load(job).status == "running"


def test_nobody_is_reaped_when_the_databases_clock_has_leapt(job, monkeypatch):
    """It hung, or this machine slept: to the sweep that was a moment, to the leases it was hours."""
    claim()
    sweep = reaping_sweep(monkeypatch)
    sweep.once()
    monkeypatch.setattr(app.sweep, "now", lambda session: now(session) + timedelta(hours=1))
    sweep.once()
    assert load(job).status == "running"
    sweep._reachable_since = -1e9  # a lease later
    sweep.once()
    assert load(job).status == "queued"


def test_a_job_of_a_dead_process_of_this_host_is_requeued_at_once(job):
    with transaction() as session:
        moment = now(session)
        session.add(WorkerPresence(id="worker-a", host=host.identity(), pid=2**22 - 1, process_started=1, slots=1,
                                   started_at=moment, seen_at=moment))  # fmt: skip
    claim("worker-a")
    Sweep().once()
    assert load(job).status == "queued"
    with reading() as session:
        assert session.get(Attempt, (job, 1)).outcome == "lost"


def test_crashes_are_retried_at_once_then_later_then_not_at_all(job):
    pauses = []
    for _ in range(2):
        with transaction() as session:
            repository.get(session, job).not_before = now(session)
        current = claim().claim
        with transaction() as session:
            lifecycle.crashed(session, current, code="trainer_crashed", message="It died.")
            pauses.append((load_in(session, job).not_before - now(session)).total_seconds())
    assert pauses[0] <= 0 < pauses[1] <= 10
    with transaction() as session:
        repository.get(session, job).not_before = now(session)
    with transaction() as session:
        last = lifecycle.claim_next(session, worker_id="worker-a").claim
    with transaction() as session:
        lifecycle.crashed(session, last, code="trainer_crashed", message="It died.")
    assert (load(job).status, load(job).error["code"], load(job).num_crashes) == ("failed", "trainer_crashed", 3)


def test_losses_are_retried_at_once_then_later_but_never_much_later(job):
    pauses = []
    for _ in range(9):
        with transaction() as session:
            repository.get(session, job).not_before = now(session)
        claim()
        with transaction() as session:
            assert lifecycle.lost(session, repository.get_locked(session, job), reason="Its worker died.")
            pauses.append(round((load_in(session, job).not_before - now(session)).total_seconds()))
    assert pauses == [0, 10, 20, 40, 80, 160, 320, 600, 600]


def load_in(session, job_id):
    session.expire_all()
    return repository.get(session, job_id)


def test_a_drain_costs_nothing_of_the_budgets(job):
    for _ in range(5):
        current = claim().claim
        with transaction() as session:
            lifecycle.drained(session, current)
    stored = load(job)
    assert (stored.status, stored.num_crashes, stored.num_losses, stored.attempt) == ("queued", 0, 0, 5)


def test_cancelling_a_waiting_job_is_immediate_and_twice_is_no_error(job):
    assert requests.cancel(job).status == "cancelled"
    assert requests.cancel(job).status == "cancelled"
    assert claim() is None


def test_cancelling_a_running_job_is_a_request_until_the_trainer_is_gone(job):
    current = claim().claim
    assert requests.cancel(job).status == "running"
    with transaction() as session:
        assert lifecycle.asked_for(session, current) == "cancel"
        lifecycle.cancelled(session, current)
    assert load(job).status == "cancelled"


def test_a_cancelled_job_whose_worker_is_lost_is_cancelled(job, monkeypatch):
    claim()
    requests.cancel(job)
    expire(job)
    reaping_sweep(monkeypatch).once()
    assert load(job).status == "cancelled"


def test_a_job_that_has_succeeded_cannot_be_cancelled(job):
    from app.errors import Conflict

    current = claim().claim
    with transaction() as session:
        lifecycle.succeed(session, current, model_id="ft:x")
    with pytest.raises(Conflict):
        requests.cancel(job)


def test_events_are_numbered_without_a_gap(job):
    current = claim().claim

    def append():
        from app.job import events

        for _ in range(10):
            with transaction() as session:
                events.append(session, job, "something happened")

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with transaction() as session:
        lifecycle.drained(session, current)
    page = service.list_events(job, after=None, limit=1000)
    assert [event.number for event in page.data] == list(range(1, 44))


def test_event_pages_follow_each_other(job):
    from app.job import events

    with transaction() as session:
        for number in range(7):
            events.append(session, job, f"event {number}")
    seen, after = [], None
    while True:
        page = service.list_events(job, after=after, limit=3)
        seen += [event.number for event in page.data]
        after = page.last_id
        if not page.has_more:
            break
    assert seen == list(range(1, 9))


def test_metrics_are_upserted_by_step_and_paged_without_a_gap(job):
    from app.clock import utc_now

    def rows(steps, value):
        return [{"job_id": job, "step": step, "name": "train/loss", "epoch": 0.1, "value": value, "created_at": utc_now()}
                for step in steps]  # fmt: skip

    with transaction() as session:
        records.upsert_metrics(session, rows(range(300), 1.0))
        records.upsert_metrics(session, rows(range(250, 310), 2.0))
    seen, after = {}, None
    while True:
        page = service.metrics(job, after=after, limit=70)
        seen |= {point.step: point.value for point in page.data}
        after = page.last_id
        if not page.has_more:
            break
    assert len(seen) == 310
    assert (seen[249], seen[250], seen[309]) == (1.0, 2.0, 2.0)


def test_jobs_are_listed_newest_first_by_page_and_filtered(database):
    jobs = [insert_job(job_metadata={"team": "a" if n % 2 else "b"}) for n in range(5)]
    first = service.list_jobs(status=None, metadata={}, after=None, limit=3)
    second = service.list_jobs(status=None, metadata={}, after=first.last_id, limit=3)
    assert [j.id for j in first.data + second.data] == jobs[::-1]
    assert (first.has_more, second.has_more) == (True, False)
    assert [j.id for j in service.list_jobs(status=None, metadata={"team": "a"}, after=None, limit=9).data] == [
        jobs[3],
        jobs[1],
    ]
    assert service.list_jobs(status=JobStatus.RUNNING, metadata={}, after=None, limit=9).data == []


def test_the_queue_position_counts_who_goes_first(database):
    first, second = insert_job(), insert_job()
    urgent = insert_job(priority=1)
    assert [service.get_job(job_id).queue.position for job_id in (urgent, first, second)] == [1, 2, 3]
