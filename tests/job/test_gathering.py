"""The worker that leads a job of several nodes, as it gathers the others and watches them, on SQLite and PostgreSQL."""

import threading
import time
from datetime import timedelta

import pytest

from app.config import get_settings
from app.db import now, reading, transaction
from app.job import gathering, repository, requests, seats, service
from app.job.lifecycle import ClaimLost
from app.job.models import WorkerPresence
from tests.job.conftest import insert_job
from tests.job.test_lifecycle import claim, expire, load, reaping_sweep
from tests.job.test_seats import asking_for, opened, present, renew, rows, take, well, within
from worker.gathering import YIELD_SECONDS, Company, gather
from worker.node import run_node
from worker.supervisor import run_attempt

NEVER = threading.Event()


def start_gathering(claimed, *, nodes=2, draining=NEVER):
    found = []
    thread = threading.Thread(target=lambda: found.append(gather(claimed, nodes=nodes, draining=draining)))
    thread.start()

    def end():
        thread.join(timeout=20)
        return found[0]

    return end


def wait_for_seat(worker="worker-b"):
    deadline = time.monotonic() + 10
    while (seat := take(worker)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return seat


def test_a_leader_waits_until_all_seats_are_taken(database):
    job = asking_for(2)
    present("worker-a", "worker-b")
    end = start_gathering(claim().claim)
    wait_for_seat()
    company = end()
    assert isinstance(company, Company)
    assert (company.node.rank, company.node.count) == (0, 2)
    assert company.node.endpoint.startswith("127.0.0.1:")
    assert well(job)


@pytest.mark.parametrize("reason", ["late", "draining", "paused", "cancelled"])
def test_a_leader_that_need_not_wait_any_more_gives_the_job_back_uncharged(database, reason, monkeypatch):
    monkeypatch.setenv("TUNERY_GATHER_SECONDS", "0.1" if reason == "late" else "60")
    get_settings.cache_clear()
    job, draining = asking_for(3), threading.Event()
    present("worker-a", "worker-b", "worker-c")
    claimed = claim().claim
    if reason == "draining":
        draining.set()
    elif reason != "late":
        {"paused": requests.pause, "cancelled": requests.cancel}[reason](job)
    assert gather(claimed, nodes=3, draining=draining) is None
    get_settings.cache_clear()
    stored = load(job)
    assert stored.status == {"paused": "paused", "cancelled": "cancelled"}.get(reason, "queued")
    assert (stored.num_crashes, stored.num_losses, rows()) == (0, 0, [])
    assert well(job)
    if reason == "late":
        said = service.list_events(job, after=None, limit=10).data[-1]
        assert (said.data["code"], said.data["missing"]) == ("too_few_workers", 2)


def test_of_two_jobs_that_hold_half_of_the_workers_each_the_later_one_yields(database):
    first, second = asking_for(2), asking_for(2)
    present("worker-a", "worker-b")
    ends = [start_gathering(claim(worker).claim) for worker in ("worker-a", "worker-b")]
    assert ends[1]() is None
    assert load(second).status == "queued"
    wait_for_seat("worker-b")
    assert isinstance(ends[0](), Company)
    assert load(first).status == "running"
    assert well(first)
    assert well(second)


def test_an_attempt_counts_the_workers_that_run_jobs_of_other_projects(database, monkeypatch):
    """Seen as the job's project alone they would be idle, and be waited for in vain."""
    monkeypatch.setattr("worker.gathering.HOPELESS_SECONDS", 0.0)
    monkeypatch.setenv("TUNERY_GATHER_SECONDS", "10")
    get_settings.cache_clear()
    insert_job(project_id="proj-other")
    claim("worker-b")
    job = asking_for(2, project_id="proj-own")
    present("worker-a", "worker-b")
    run_attempt(claim("worker-a"), draining=NEVER)
    get_settings.cache_clear()
    stored = load(job)
    assert (stored.status, stored.num_crashes, rows()) == ("queued", 0, [])
    with reading() as session:
        [attempt] = repository.attempts(session, job)
    assert (stored.not_before - attempt.ended_at).total_seconds() < YIELD_SECONDS + 1, "its patience was not used up"


def test_a_leader_whose_claim_is_lost_stops_waiting(database, monkeypatch):
    job = asking_for(2)
    claimed = claim().claim
    expire(job)
    reaping_sweep(monkeypatch).once()
    with pytest.raises(ClaimLost):
        gather(claimed, nodes=2, draining=NEVER)


@pytest.fixture
def company(database):
    present("worker-a", "worker-b")
    leader = opened(asking_for(2))
    seat = take()
    return Company(leader, nodes=2), leader, seat


def test_a_leader_sees_who_wants_to_leave_and_who_has_ended_badly(company):
    company, _, seat = company
    company.look()
    assert (company.wants_to_leave, company.loss) == (False, None)
    within(seats.leave, seat)
    company.look()
    assert company.wants_to_leave
    within(seats.end, seat, error={"code": "out_of_memory", "message": "It was killed.", "hint": "h"})
    company.look()
    assert (company.loss.code, company.loss.message) == ("out_of_memory", "Node 1 of 2: It was killed.")
    assert not company.loss.is_loss


def test_a_share_that_ended_well_is_no_loss(company):
    company, _, seat = company
    within(seats.end, seat)
    company.look()
    assert company.loss is None


def test_a_worker_that_died_beside_the_leader_is_seen_at_once_and_the_attempt_is_lost(company):
    company, leader, _ = company
    with transaction() as session:
        session.get_one(WorkerPresence, "worker-b").process_started = 1
    company.look()
    assert (company.loss.code, company.loss.is_loss) == ("node_lost", True)
    within(gathering.node_lost, leader, reason=company.loss.message)
    stored = load(leader.job_id)
    assert (stored.status, stored.num_losses, stored.num_crashes) == ("queued", 1, 0)
    with pytest.raises(ClaimLost):
        within(gathering.node_lost, leader, reason="again")


def test_a_seat_that_lapsed_counts_only_when_the_database_was_there_for_its_whole_lease(company):
    company, leader, _ = company
    with transaction() as session:
        row = seats.others(session, leader)[0]
        row.lease_until = now(session) - timedelta(seconds=1)
    company.look()
    assert company.loss is None
    company._steady_since -= seats.SEAT_LEASE.total_seconds() + 1
    company.look()
    assert company.loss.is_loss


def test_a_leader_waits_until_the_others_have_ended(company):
    company, _, seat = company
    began_at = time.monotonic()

    def follow():
        while not renew(seat).is_over:
            time.sleep(0.02)
        time.sleep(0.5)
        within(seats.end, seat)

    follower = threading.Thread(target=follow)
    follower.start()
    company.dismiss()
    follower.join()
    assert 0.5 < time.monotonic() - began_at < 5
    assert rows()[1] == (1, "ended", "worker-b")


def test_a_node_that_cannot_reach_its_leader_says_what_to_set(company):
    company, _, seat = company
    company.let_start()
    with transaction() as session:
        session.get_one(WorkerPresence, "worker-a").host = "another-machine/pid:[1]"
    run_node(seat, draining=NEVER)
    company.look()
    assert company.loss.code == "node_unreachable"
    assert "TUNERY_NODE_ADDRESS" in company.loss.hint


def test_a_worker_that_is_stopped_before_the_start_leaves_its_seat_to_another(company):
    _, _, seat = company
    draining = threading.Event()
    draining.set()
    run_node(seat, draining=draining)
    assert rows()[1] == (1, "free", None)
    assert take("worker-c").node_rank == 1
