"""The seats of jobs that several workers run together, on SQLite and PostgreSQL."""

import os
import threading
from datetime import timedelta

import pytest

from app import host
from app.caller import Caller, acting_for
from app.clock import utc_now
from app.db import now, reading, transaction
from app.job import gathering, lifecycle, seats, service
from app.job.hardware import Offer
from app.job.models import Job, NodeSeat, WorkerPresence
from app.job.repository import Claim
from app.key.models import Project
from app.spec.version import CONTRACT_VERSION
from app.verify.jobs import check_job
from tests.job.conftest import insert_job
from tests.job.test_lifecycle import claim, expire, load, reaping_sweep
from worker import tasks
from worker.devices import Devices

TWO_GPUS = Offer(gpus=[0, 0], on_gpus=True)
SPEC = {"model": "tiny", "dataset": {"train": "file-" + "0" * 32}}


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
    assert [(seat.job_id, seat.node_rank) for seat in (first, second)] == [(job, 1), (job, 2)]
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
        assert seats.best_free_priority(session, worker_id="worker-c", offer=TWO_GPUS) == 0
    assert take("worker-c", offer=TWO_GPUS).job_id == plain
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


def test_a_worker_is_not_kept_for_a_job_that_it_cannot_run_itself(database, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "_told", set())
    devices = Devices([], folder=tmp_path)
    insert_job()
    claim("worker-a")
    present("worker-a", tasks.WORKER_ID)
    insert_job(spec=SPEC | {"resources": {"gpus": 1, "nodes": 2}}, priority=1)
    asking_for(2, priority=1, contract_version=CONTRACT_VERSION + 1)
    less = insert_job()
    assert tasks._claim(devices)[0].claim.job_id == less


def test_a_worker_is_not_kept_for_a_project_that_runs_as_many_jobs_as_it_may(database, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "_told", set())
    devices = Devices([], folder=tmp_path)
    with transaction() as session:
        for name, most in (("full", 1), ("free", None)):
            limits = {} if most is None else {"max_running_jobs": most}
            session.add(Project(id=name, name=name, limits=limits, created_at=utc_now()))
    with acting_for(Caller(project_id="full")):
        running = insert_job()
        claim("worker-a")
        together = asking_for(2, priority=5)
    present("worker-a", tasks.WORKER_ID)
    with acting_for(Caller(project_id="free")):
        less = insert_job()
    assert tasks._claim(devices)[0].claim.job_id == less, "nothing of the other project can be begun"
    within(lifecycle.cancelled, claim_of(less))
    with acting_for(Caller(project_id="free")):
        asking_for(2, priority=1)
        insert_job()
    assert tasks._claim(devices)[0] is None, "another project's job is waited for, beside the one that is not"
    with transaction() as session:
        assert waited(session) == 1
        session.get_one(Project, "full").limits = {"max_running_jobs": 2}
    assert within(waited) == 5
    within(lifecycle.cancelled, claim_of(running))
    assert tasks._claim(devices)[0].claim.job_id == together


def waited(session):
    return seats.waited_for_priority(session, now=now(session), idle=1)


def claim_of(job):
    stored = load(job)
    return Claim(job_id=job, attempt=stored.attempt, token=stored.token, worker_id=stored.worker_id)
