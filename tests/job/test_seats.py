"""The seats of jobs that several workers run together, on SQLite and PostgreSQL."""

import os
import threading
import time
from datetime import timedelta

import pytest

from app import host
from app.config import get_settings
from app.db import now, reading, transaction
from app.job import gathering, lifecycle, requests, seats, service
from app.job.lifecycle import ClaimLost
from app.job.models import Job, NodeSeat, WorkerPresence
from app.job.repository import Claim
from app.verify.jobs import check_job
from tests.job.conftest import insert_job
from tests.job.test_lifecycle import claim, expire, load, reaping_sweep
from worker import tasks
from worker.devices import Devices
from worker.gathering import Company, gather
from worker.node import run_node

SPEC = {"model": "tiny", "dataset": {"train": "file-" + "0" * 32}}
NEVER = threading.Event()


def asking_for(nodes, *, processes=1, **columns):
    return insert_job(spec=SPEC | {"resources": {"processes": processes, "nodes": nodes}}, **columns)


def present(*workers, slots=1, pid=None):
    """Tell of workers of this host that live, or of one that had another process number."""
    with transaction() as session:
        moment = now(session)
        for worker in workers:
            started = host.process_started(os.getpid()) if pid is None else 1
            session.add(
                WorkerPresence(id=worker, host=host.identity(), pid=pid or os.getpid(), process_started=started,
                               slots=slots, started_at=moment, seen_at=moment)
            )  # fmt: skip


def opened(job, *, nodes=2, worker="worker-a"):
    """The claim of a job whose seats are open."""
    claimed = claim(worker).claim
    assert claimed.job_id == job
    with transaction() as session:
        seats.open_all(session, claimed, nodes=nodes)
    return claimed


def take(worker="worker-b", **options):
    with transaction() as session:
        return seats.take(session, worker_id=worker, now=now(session), **options)


def renew(seat):
    with transaction() as session:
        return seats.renew(session, seat, now=now(session))


def within(function, *arguments, **options):
    with transaction() as session:
        return function(session, *arguments, **options)


def idle(**options):
    with reading() as session:
        return seats.num_idle(session, now=now(session), **options)


def rows():
    with reading() as session:
        return [
            (row.node_rank, row.state, row.worker_id) for row in session.query(NodeSeat).order_by(NodeSeat.node_rank)
        ]


def well(job):
    with reading() as session:
        return [finding.kind for finding in check_job(session, session.get_one(Job, job), moment=now(session))] == []


def test_each_free_seat_is_taken_by_one_other_worker(database):
    job = asking_for(3)
    opened(job, nodes=3)
    assert take("worker-a") is None, "the leader has one already"
    first, second = take("worker-b"), take("worker-c")
    assert [(seat.job_id, seat.node_rank, seat.processes) for seat in (first, second)] == [(job, 1, 1), (job, 2, 1)]
    assert take("worker-b") is None
    assert take("worker-d") is None
    assert rows() == [(0, "taken", "worker-a"), (1, "taken", "worker-b"), (2, "taken", "worker-c")]
    assert well(job)


def test_racing_workers_take_each_seat_once(database):
    opened(asking_for(5), nodes=5)
    taken = []
    start = threading.Barrier(8)

    def work(name):
        start.wait()
        if (seat := take(name)) is not None:
            taken.append(seat.node_rank)

    threads = [threading.Thread(target=work, args=(f"worker-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == len(taken) <= 4
    # SKIP LOCKED may let a taker see nothing while others hold the last rows; what is left can still be taken.
    while (seat := take(f"worker-late-{len(taken)}")) is not None:
        taken.append(seat.node_rank)
    assert sorted(taken) == [1, 2, 3, 4]


def test_the_seat_of_the_job_that_comes_first_is_taken_first_if_the_worker_has_enough_gpus(database):
    plain, urgent = asking_for(2), asking_for(2, processes=4, priority=5)
    opened(urgent, worker="worker-a")
    opened(plain, worker="worker-b")
    with reading() as session:
        assert seats.best_free_priority(session, worker_id="worker-c") == 5
        assert seats.best_free_priority(session, worker_id="worker-c", max_processes=2) == 0
    assert take("worker-c", max_processes=2).job_id == plain
    assert take("worker-d").job_id == urgent


def test_a_holder_hears_where_to_meet_and_when_it_is_over(database):
    job = asking_for(2)
    leader, seat = opened(job), take()
    assert renew(seat) == seats.Heard(endpoint=None, is_over=False)
    within(seats.publish_endpoint, leader, "127.0.0.1:1")
    assert renew(seat) == seats.Heard(endpoint="127.0.0.1:1", is_over=False)
    within(seats.dismiss, leader)
    assert renew(seat).is_over


@pytest.mark.parametrize("ending", ["crashed", "cancelled", "drained", "lost"])
def test_with_the_attempt_its_seats_are_gone_and_a_zombie_changes_nothing_of_the_next(database, ending, monkeypatch):
    job = asking_for(2)
    leader, zombie = opened(job), take()
    if ending == "lost":
        expire(job)
        reaping_sweep(monkeypatch).once()
    else:
        options = {"code": "c", "message": "m"} if ending == "crashed" else {}
        within(getattr(lifecycle, ending), leader, **options)
    assert rows() == []
    assert renew(zombie) is None
    if ending == "cancelled":
        return
    opened(job, worker="worker-c")
    take()
    assert renew(zombie) is None
    within(seats.end, zombie, error={"code": "x", "message": "x", "hint": None})
    assert rows() == [(0, "taken", "worker-c"), (1, "taken", "worker-b")]
    assert well(job)


def test_seats_of_an_attempt_that_is_over_are_found(database):
    job = asking_for(2)
    leader = opened(job)
    within(lifecycle.crashed, leader, code="c", message="m")
    with transaction() as session:
        session.add(NodeSeat(job_id=job, token=1, node_rank=1, state="free"))
    assert not well(job)


def test_what_the_dead_had_taken_is_free_again_while_others_are_gathered(database):
    leader = opened(asking_for(3), nodes=3)
    present("worker-b", pid=2**22 - 1)
    take("worker-b")
    silent = take("worker-c")
    with transaction() as session:
        assert seats.free_deserted(session, leader, now=now(session)) == 1
        assert seats.free_deserted(session, leader, now=now(session) + timedelta(minutes=1)) == 2
    assert rows()[1:] == [(1, "free", None), (2, "free", None)]
    assert renew(silent) is None


def test_a_worker_is_idle_while_it_lives_and_has_a_slot_for_neither_job_nor_seat(database):
    present("worker-a", "worker-b", "worker-c")
    present("worker-dead", pid=2**22 - 1)
    present("worker-wide", slots=2)
    assert (idle(), idle(besides="worker-a")) == (4, 3)
    opened(asking_for(2), worker="worker-a")
    assert idle() == 3
    take("worker-b")
    assert idle() == 2
    insert_job()
    claim("worker-wide")
    assert idle() == 2
    with reading() as session:
        assert seats.num_idle(session, now=now(session) + timedelta(minutes=2)) == 0


def test_a_job_that_asks_for_more_workers_than_are_idle_is_passed_and_told_so_once(database):
    large, small = asking_for(3, priority=5), insert_job()
    with transaction() as session:
        assert lifecycle.claim_next(session, worker_id="worker-a", max_nodes=2).claim.job_id == small
        assert lifecycle.claim_next(session, worker_id="worker-b", max_nodes=2) is None
    for told in ([], [large], []):  # the last: another worker, which does not know who was told
        within(gathering.tell_too_few_workers, idle=1, told=told)
    said = service.list_events(large, after=None, limit=10).data
    assert [(event.data["code"], event.data["missing"]) for event in said[1:]] == [("too_few_workers", 2)]
    assert "waits for 2 more" in said[1].message


def test_a_worker_takes_a_seat_before_a_job_unless_that_is_more_urgent(database, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "_told", set())
    devices = Devices([], folder=tmp_path)
    together, plain, urgent = asking_for(2), insert_job(), insert_job(priority=1)
    present("worker-a", tasks.WORKER_ID)
    with transaction() as session:
        session.get_one(Job, urgent).not_before = now(session) + timedelta(minutes=1)
    opened(together)
    with transaction() as session:
        session.get_one(Job, urgent).not_before = now(session)
    work = [tasks._claim(devices)[0] for _ in range(4)]
    assert [isinstance(one, seats.Seat) for one in work[:3]] == [False, True, False]
    assert (work[0].claim.job_id, work[1].job_id, work[2].claim.job_id, work[3]) == (urgent, together, plain, None)


def test_a_worker_is_kept_from_less_urgent_jobs_for_one_that_waits_for_it_if_there_are_enough(
    database, tmp_path, monkeypatch
):
    monkeypatch.setattr(tasks, "_told", set())
    devices = Devices([], folder=tmp_path)
    running = insert_job()
    claim("worker-a")
    less, together = insert_job(), asking_for(2, priority=1)
    present(tasks.WORKER_ID)
    assert tasks._claim(devices)[0].claim.job_id == less, "one worker will never be two"
    within(lifecycle.crashed, claim_of(less), code="c", message="m")
    present("worker-a")
    assert tasks._claim(devices)[0] is None
    equal = insert_job(priority=1)
    assert tasks._claim(devices)[0].claim.job_id == equal
    within(lifecycle.cancelled, claim_of(equal))
    within(lifecycle.cancelled, claim_of(running))
    assert tasks._claim(devices)[0].claim.job_id == together


def claim_of(job):
    stored = load(job)
    return Claim(job_id=job, attempt=stored.attempt, token=stored.token, worker_id=stored.worker_id)


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
