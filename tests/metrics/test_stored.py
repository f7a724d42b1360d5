"""What Prometheus is told of jobs, workers and webhooks: from the database, the same in every process."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from app.db import get_engine, now, reading, transaction
from app.job import lifecycle, requests
from app.job.models import Job
from app.job.states import JobStatus
from app.metrics import counting, repository, stored
from app.metrics.models import StoredTally
from app.metrics.tally import exposition
from app.webhook.models import Webhook, WebhookDelivery
from tests.job.conftest import insert_job
from tests.job.test_hardware import present
from tests.job.test_lifecycle import claim, expire, reaping_sweep
from tests.metrics.test_counting import samples


def told():
    """As a process tells it that has just started."""
    return samples(exposition(stored.StoredNumbers().families()))


def at(numbers, name, **labels):
    return numbers.get((name, *sorted(labels.items())), 0)


def within(step, *arguments, **options):
    with transaction() as session:
        return step(session, *arguments, **options)


def test_jobs_are_told_by_kind_and_status_and_what_ended_is_counted(database, monkeypatch):
    for _ in range(3):
        insert_job()
    insert_job(kind="export", status=JobStatus.PAUSED)
    failing, running = claim().claim, claim().claim
    within(lifecycle.fail, failing, error={"code": "loss_nan", "message": "It failed."})
    within(lifecycle.crashed, running, code="trainer_crashed", message="It died.")
    again = claim().claim
    expire(again.job_id)
    reaping_sweep(monkeypatch).once()
    requests.cancel(again.job_id)
    numbers = told()
    assert at(numbers, "tunery_jobs", kind="training", status="queued") == 1
    assert at(numbers, "tunery_jobs", kind="export", status="paused") == 1
    assert at(numbers, "tunery_jobs_ended_total", kind="training", status="failed") == 1
    assert at(numbers, "tunery_jobs_ended_total", kind="training", status="cancelled") == 1
    assert at(numbers, "tunery_job_failures_total", kind="training", code="loss_nan") == 1
    outcomes = {
        outcome: at(numbers, "tunery_job_attempts_total", outcome=outcome) for outcome in ("failed", "crashed", "lost")
    }
    assert outcomes == {"failed": 1, "crashed": 1, "lost": 1}
    assert at(numbers, "tunery_lease_expiries_total") == 1
    assert at(numbers, "tunery_job_wait_seconds_count", kind="training") == 2, (
        "a second attempt did not wait for its turn"
    )
    assert at(numbers, "tunery_job_run_seconds_count", kind="training", status="failed") == 1
    assert at(numbers, "tunery_database_up") == 1
    assert at(numbers, "tunery_disk_free_bytes") > 0


def test_they_stand_beside_the_numbers_of_the_process(client):
    insert_job()
    numbers = samples(client.get("/metrics").text)
    assert at(numbers, "tunery_jobs", kind="training", status="queued") == 1
    assert at(numbers, "tunery_predictor_up") == 0


def test_waiting_and_running_times_fall_into_their_buckets(database):
    with reading() as session:
        moment = now(session)
    for minutes in (90, 10, 1):
        insert_job(created_at=moment - timedelta(minutes=minutes))
    assert 5399 < at(told(), "tunery_oldest_queued_job_seconds") < 5500
    claims = [claim().claim for _ in range(3)]
    with transaction() as session:
        for one, hours in zip(claims, (1.5, 3, 100), strict=True):
            session.get_one(Job, one.job_id).started_at = moment - timedelta(hours=hours)
    for one in claims:
        within(lifecycle.fail, one, error={"code": "x", "message": "x"})
    numbers = told()

    def bucket(name, bound, **labels):
        return at(numbers, f"{name}_bucket", kind="training", le=bound, **labels)

    bounds = ("30.0", "120.0", "1800.0", "7200.0", "+Inf")
    assert [bucket("tunery_job_wait_seconds", bound) for bound in bounds] == [0, 1, 2, 3, 3]
    assert at(numbers, "tunery_job_wait_seconds_sum", kind="training") == pytest.approx(6060, abs=100)
    bounds = ("3600.0", "7200.0", "14400.0", "172800.0", "+Inf")
    assert [bucket("tunery_job_run_seconds", bound, status="failed") for bound in bounds] == [0, 1, 2, 2, 3]
    assert at(numbers, "tunery_oldest_queued_job_seconds") == 0


def test_running_trainers_tell_their_speed_and_workers_what_they_have(database):
    present("worker-a", gpus=[1, 2])
    present("worker-b")
    running = insert_job()
    within(
        lifecycle.write,
        claim().claim,
        progress={"step": 20, "max_steps": 100, "eta_seconds": 16, "gpu_memory_bytes": 7},
    )
    numbers = told()
    assert at(numbers, "tunery_job_steps_per_second", job=running, kind="training") == 5
    assert at(numbers, "tunery_job_gpu_memory_bytes", job=running, kind="training") == 7
    assert [at(numbers, f"tunery_{name}") for name in ("workers", "worker_slots", "worker_gpus")] == [2, 2, 2]


def test_the_outbox_of_webhooks_is_told(database):
    with transaction() as session:
        moment = now(session)
        session.add(
            Webhook(id="wh-1", url="https://a.example", secret="s", events=[], allows_loopback=False, created_at=moment)
        )
        session.flush()
        for number, state in enumerate(("pending", "pending", "delivered")):
            session.add(WebhookDelivery(id=f"d{number}", webhook_id="wh-1", event="e", job_id="j", payload="{}", state=state,
                                        created_at=moment, next_attempt_at=moment))  # fmt: skip
    assert at(told(), "tunery_webhook_deliveries_pending") == 2


def test_what_is_rolled_back_was_never_counted_and_what_is_counted_at_once_is_counted_all(database):
    class Broken(Exception):
        pass

    def count_and_break(session):
        counting.count(session, "attempts", "lost")
        raise Broken

    with pytest.raises(Broken):
        within(count_and_break)

    def add(names):
        for _ in range(10):
            with transaction() as session:
                for name in names:
                    counting.count(session, "attempts", name)

    orders = [("a", "b", "c"), ("c", "b", "a"), ("b", "c", "a"), ("c", "a", "b")]
    threads = [threading.Thread(target=add, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading() as session:
        found = {labels: value for _, labels, value in repository.tallies(session)}
        assert found == {"a": 40, "b": 40, "c": 40}
        assert session.scalar(select(func.count()).select_from(StoredTally)) == 3


def test_numbers_are_kept_for_a_moment_whoever_asks(database, monkeypatch):
    numbers = stored.StoredNumbers()
    first = numbers.families()
    insert_job()
    assert numbers.families() is first
    monkeypatch.setattr(stored, "KEPT_SECONDS", -1.0)
    assert numbers.families() is not first


def test_without_a_database_the_rest_is_told(settings_home, monkeypatch):
    monkeypatch.setenv("TUNERY_DATABASE_URL", "postgresql+psycopg://nobody@/none?host=/nowhere")
    from tests.conftest import reset_process_state

    reset_process_state()
    numbers = {family.name: [sample.value for sample in family.samples] for family in stored.StoredNumbers().families()}
    assert numbers["tunery_database_up"] == [0]
    assert numbers["tunery_disk_free_bytes"][0] > 0
    assert "tunery_jobs" not in numbers


def test_jobs_are_counted_in_an_index(database):
    queries = {
        "ix_jobs_counts": "SELECT kind, status, count(*) FROM jobs WHERE status IN ('queued', 'running') GROUP BY status, kind",
        "ix_jobs_status": "SELECT created_at FROM jobs WHERE status = 'queued' ORDER BY id LIMIT 1",
    }
    with transaction() as session:
        is_sqlite = get_engine().dialect.name == "sqlite"
        if not is_sqlite:
            session.execute(text("SET LOCAL enable_seqscan = off"))
        for index, query in queries.items():
            plan = str(session.execute(text(f"{'EXPLAIN QUERY PLAN' if is_sqlite else 'EXPLAIN'} {query}")).all())
            assert index in plan
            assert "TEMP B-TREE FOR ORDER" not in plan
