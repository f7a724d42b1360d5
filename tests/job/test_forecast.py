"""When a job will start and finish, from those that have."""

from datetime import timedelta

import pytest

from app.db import now, reading, transaction
from app.ids import new_id
from app.job import service, turns
from app.job.models import WorkerPresence
from app.job.states import JobStatus
from tests.job.conftest import insert_job

EPOCHS, ROWS = 3, 100


def of(model, *, epochs=EPOCHS, rows=ROWS, **training):
    spec = {
        "model": model, "task": "text-classification", "dataset": {"train": "file-" + "0" * 32},
        "training": {"num_train_epochs": epochs, **training},
    }  # fmt: skip
    return {"spec": spec, "data_report": {"splits": {"train": {"num_rows": rows}}}}


def succeeded(model, *, seconds, **work):
    with reading() as session:
        moment = now(session)
    return insert_job(
        status=JobStatus.SUCCEEDED,
        started_at=moment - timedelta(seconds=seconds),
        finished_at=moment,
        **of(model, **work),
    )


def a_worker(slots):
    with transaction() as session:
        moment = now(session)
        session.add(
            WorkerPresence(
                id=new_id("worker"), host="h", pid=1, process_started=1, slots=slots, started_at=moment, seen_at=moment
            )
        )


def seconds_until(instant):
    with reading() as session:
        return (instant - now(session)).total_seconds()


def test_a_job_takes_as_long_as_those_before_it_took_for_as_many_examples(database):
    for seconds in (90, 300, 600):
        succeeded("small", seconds=seconds)
    a_worker(1)
    job = service.get_job(insert_job(**of("small", epochs=6)))
    assert seconds_until(job.queue.estimated_start_at) == pytest.approx(0, abs=5)
    assert seconds_until(job.estimated_finish_at) == pytest.approx(600, abs=5)
    steps = {"max_steps": 30, "per_device_train_batch_size": 10, "gradient_accumulation_steps": 2}
    assert seconds_until(service.get_job(insert_job(**of("small", **steps), priority=1)).estimated_finish_at) == (
        pytest.approx(600, abs=5)
    )


def test_a_job_starts_when_those_before_it_leave_a_slot(database):
    succeeded("small", seconds=100)
    succeeded("large", seconds=1000)
    a_worker(2)
    with reading() as session:
        moment = now(session)
    insert_job(status=JobStatus.RUNNING, started_at=moment - timedelta(seconds=400), **of("large"))
    insert_job(status=JobStatus.RUNNING, started_at=moment, progress={"eta_seconds": 50}, **of("large"))
    insert_job(**of("small"))
    urgent = insert_job(**of("small"), priority=5)
    last = insert_job(**of("small"))
    expected = {urgent: 50, last: 250}
    for job_id, seconds in expected.items():
        job = service.get_job(job_id)
        assert seconds_until(job.queue.estimated_start_at) == pytest.approx(seconds, abs=5)
        assert seconds_until(job.estimated_finish_at) == pytest.approx(seconds + 100, abs=5)


def test_nothing_is_foretold_of_what_was_never_seen(database):
    job_id = insert_job(**of("small"))
    succeeded("other", seconds=100)
    assert service.get_job(job_id).queue.estimated_start_at is None, "there is no worker"
    a_worker(1)
    job = service.get_job(job_id)
    assert job.queue.estimated_start_at is not None
    assert job.estimated_finish_at is None
    assert service.get_job(insert_job(**of("other"))).queue.estimated_start_at is None


def test_a_long_queue_is_counted_up_to_a_bound(database, monkeypatch):
    monkeypatch.setattr(turns, "LONGEST_QUEUE", 3)
    jobs = [insert_job() for _ in range(6)]
    assert [service.get_job(job_id).queue.position for job_id in jobs] == [1, 2, 3, 4, 4, 4]
