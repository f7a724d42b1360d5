"""Projects take turns, on SQLite and PostgreSQL."""

import threading
from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text, update

from app import ids
from app.caller import Caller, acting_for
from app.clock import utc_now
from app.db import get_engine, now, reading, transaction
from app.job import hardware, lifecycle, service, turns
from app.job.models import Job
from app.job.states import JobStatus
from app.key.models import Project
from tests.job.conftest import insert_job
from tests.job.test_forecast import a_worker, of, seconds_until, succeeded
from tests.job.test_lifecycle import claim


def of_project(project, **columns):
    with acting_for(Caller(project_id=project)):
        return insert_job(**columns)


def many(project, count):
    """Waiting jobs, the oldest first."""
    moment = utc_now()
    spec = {"model": "tiny", "dataset": {"train": "file-" + "0" * 32}}
    rows = [
        {"id": ids.new_id(ids.JOB), "project_id": project, "status": "queued", "spec": spec, "requested_spec": spec,
         "job_metadata": {}, "created_at": moment, "not_before": moment - timedelta(minutes=1), "progress": {}, "warnings": [],
         "timings": {}, "attempt": 0, "token": 0, "num_crashes": 0, "num_losses": 0, "last_event_number": 0, "priority": 0}
        for _ in range(count)
    ]  # fmt: skip
    with transaction() as session:
        session.execute(insert(Job), rows)
    return [row["id"] for row in rows]


def owner(claimed):
    with reading() as session:
        return session.get_one(Job, claimed.claim.job_id).project_id


def end(claimed):
    with transaction() as session:
        lifecycle.cancelled(session, claimed.claim)


def place(job):
    return service.get_job(job).queue.position


def test_whoever_comes_later_need_not_wait_for_all_that_another_has_submitted(database):
    many("a", 1000)
    late = of_project("b")
    assert place(late) == 2, "of two that had no turn yet the first name has the first"
    end(claim())
    assert place(late) == 1
    assert claim().claim.job_id == late


def test_the_project_with_the_fewest_running_jobs_is_next(database):
    for project, count in (("a", 6), ("b", 3), ("c", 1)):
        many(project, count)
    assert [owner(claim()) for _ in range(10)] == ["a", "b", "c", "a", "b", "a", "b", "a", "a", "a"]


def test_with_one_worker_projects_alternate(database):
    many("a", 5)
    many("b", 3)
    seen = []
    for _ in range(8):
        claimed = claim()
        seen.append(owner(claimed))
        end(claimed)
    assert seen == ["a", "b", "a", "b", "a", "b", "a", "a"]


def test_priority_counts_within_a_project_alone(database):
    plain, urgent = of_project("a"), of_project("a", priority=100)
    other = of_project("b", priority=-100)
    assert [claim().claim.job_id for _ in range(3)] == [urgent, other, plain]


def test_a_project_has_no_turn_while_it_has_as_many_running_jobs_as_it_may(database):
    many("a", 3)
    many("b", 2)
    with transaction() as session:
        session.add(Project(id="a", name="a", limits={"max_running_jobs": 1}, created_at=utc_now()))

    def next_one():
        with transaction() as session:
            claimed = lifecycle.claim_next(session, worker_id="worker-a")
        return None if claimed is None else owner(claimed)

    assert [next_one() for _ in range(4)] == ["a", "b", "b", None]
    for limits in ({"max_running_jobs": 2}, {}):
        with transaction() as session:
            session.get_one(Project, "a").limits = limits
        assert next_one() == "a"


def test_a_turn_is_not_lost_to_jobs_that_the_worker_cannot_run(database):
    spec = {"model": "tiny", "dataset": {}, "resources": {"processes": 4}}
    of_project("a", spec=spec)
    small = of_project("b")
    one_gpu = hardware.Offer(gpus=[0], on_gpus=True)
    with transaction() as session:
        assert lifecycle.claim_next(session, worker_id="worker-a", offer=one_gpu).claim.job_id == small
        assert lifecycle.claim_next(session, worker_id="worker-a", offer=one_gpu) is None


def test_eight_that_race_claim_each_job_once_and_none_goes_twice_before_another(database, monkeypatch):
    monkeypatch.setattr(turns, "LONGEST_CHOICE", "60s")  # nobody is halted here, however slow the machine
    projects = ("a", "b", "c", "d")
    for project in projects:
        many(project, 10)
    taken, start = [], threading.Barrier(8)

    def work(name):
        start.wait()
        while (claimed := claim(name)) is not None:
            taken.append(claimed.claim.job_id)

    threads = [threading.Thread(target=work, args=(f"worker-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == len(taken) == 40
    with reading() as session:
        order = session.scalars(select(Job.project_id).order_by(Job.claimed_at)).all()
    for turn in range(0, 40, 4):
        assert Counter(order[:turn]) == dict.fromkeys(projects, turn // 4) or turn == 0


def test_one_that_was_halted_while_it_chose_does_not_halt_the_others(database, monkeypatch):
    if get_engine().dialect.name == "sqlite":
        pytest.skip("SQLite has a lock of its own for all that write")
    monkeypatch.setattr(turns, "LONGEST_CHOICE", "100ms")
    many("a", 2)
    with transaction() as halted:
        held = lifecycle.claim_next(halted, worker_id="worker-a").claim.job_id
        other = claim("worker-b").claim.job_id
    assert held != other
    with reading() as session:
        assert session.scalar(text("SHOW lock_timeout")) == "0"


def test_a_forecast_lets_the_others_have_their_turns(database):
    succeeded("small", seconds=100)
    a_worker(1)
    busy = insert_job(status=JobStatus.RUNNING, progress={"eta_seconds": 50}, project_id="a", **of("small"))
    own = [of_project("a", **of("small")) for _ in range(3)]
    other = [of_project("b", **of("small")) for _ in range(2)]
    expected = dict(zip([other[0], own[0], other[1], own[1], own[2]], (50, 150, 250, 350, 450), strict=True))
    with transaction() as session:
        session.execute(update(Job).where(Job.id == busy).values(claimed_at=now(session)))
    for position, (job_id, seconds) in enumerate(expected.items(), start=1):
        job = service.get_job(job_id)
        assert job.queue.position == position
        assert seconds_until(job.queue.estimated_start_at) == pytest.approx(seconds, abs=5)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    running=st.lists(st.sampled_from("abcd"), max_size=6),
    waiting=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 1)), min_size=1, max_size=12),
    counted_first=st.sampled_from([1, 2, turns.FIRST_COUNT]),
)
def test_jobs_are_claimed_in_the_order_of_their_places(database, running, waiting, counted_first):
    with transaction() as session:
        session.execute(delete(Job))
    for project in running:
        of_project(project)
        claim()
    jobs = [of_project(project, priority=priority) for project, priority in waiting]
    with reading() as session:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(turns, "FIRST_COUNT", counted_first)
            told = turns.places(session, [session.get_one(Job, job_id) for job_id in jobs])
        last = session.get_one(Job, max(told, key=told.get))
        ahead = [job.id for job in turns.before(session, last, limit=100)]
    claimed = [claim().claim.job_id for _ in jobs]
    assert claimed == sorted(jobs, key=told.get)
    assert sorted(told.values()) == list(range(1, len(jobs) + 1))
    assert [*ahead, last.id] == claimed
