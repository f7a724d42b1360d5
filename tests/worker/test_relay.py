"""What a trainer says, into the database: also what no database takes, and while there is none."""

import math
import threading
from contextlib import ExitStack

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.config import get_settings
from app.db import get_engine, reading, transaction
from app.job import records, service
from app.spec.messages import (
    CheckpointMessage,
    CorruptMessage,
    LogMessage,
    MetricsMessage,
    PhaseMessage,
    Point,
    ProgressMessage,
    StartedMessage,
)
from app.spec.run import TRAINER_LOG
from tests.job.conftest import insert_job
from tests.job.test_lifecycle import claim, load
from worker.outcome import commit_outcome
from worker.relay import Relay
from worker.run_directory import World
from worker.supervisor import _Supervision
from worker.tracing import AttemptTrace


@pytest.fixture
def job(database):
    return insert_job()


def messages(job_id):
    return [event.message for event in service.list_events(job_id, after=None, limit=100).data]


def test_a_message_that_can_never_be_stored_holds_up_no_other(job):
    relay = Relay(claim().claim)
    before = load(job).lease_until
    relay.pending += [
        LogMessage(message="first"),
        LogMessage(message="a NUL, which PostgreSQL refuses: \0"),
        MetricsMessage(points=[Point(step=1, epoch=0.1, name="train/loss", value=math.nan)]),  # SQLite refuses it
        CorruptMessage(path="/elsewhere/checkpoint", message="not in the folder of jobs"),
        MetricsMessage(points=[Point(step=2, epoch=0.2, name="train/loss", value=0.5)]),
        LogMessage(message="last"),
    ]
    assert relay.flush() is None
    assert relay.pending == []
    assert {"first", "last"} < set(messages(job))
    assert 0.5 in [point.value for point in service.metrics(job, after=None, limit=10).data]
    assert load(job).lease_until > before


def test_while_the_database_is_away_everything_is_kept_and_told_once_afterwards(sqlite_home, monkeypatch):
    job = insert_job()
    relay = Relay(claim().claim)
    with transaction() as session:
        session.execute(text("ALTER TABLE job_events RENAME TO away"))
    relay.pending += [PhaseMessage(phase="training"), LogMessage(message="hello")]
    with pytest.raises(OperationalError):
        relay.flush()
    monkeypatch.setattr(get_engine().pool, "_timeout", 0.01)
    with ExitStack() as users:
        while True:
            try:
                users.enter_context(get_engine().connect())
            except PoolTimeoutError:
                break
        with pytest.raises(PoolTimeoutError):
            relay.flush()
    assert len(relay.pending) == 2
    with transaction() as session:
        session.execute(text("ALTER TABLE away RENAME TO job_events"))
    assert relay.flush() is None
    assert messages(job)[-2:] == ["Training.", "hello"]
    assert load(job).phase == "training"


def test_an_attempt_that_goes_on_from_a_checkpoint_does_not_claim_what_the_one_before_lost(job):
    relay = Relay(claim().claim)
    relay.pending.append(ProgressMessage(step=63, max_steps=100, epoch=1.26, eta_seconds=9.0))
    relay.flush()
    assert load(job).progress["step"] == 63
    relay.pending.append(StartedMessage(resumed_from_step=60, max_steps=100, num_epochs=2, num_examples={"train": 400}))
    relay.flush()
    progress = load(job).progress
    assert (progress["step"], progress["epoch"], progress["fraction"], progress["eta_seconds"]) == (60, 1.2, 0.6, None)


def test_a_nul_in_what_a_trainer_says_is_replaced_and_a_written_one_is_not(job):
    supervision = _Supervision(
        claim(),
        World(run_dir=get_settings().jobs_dir / job / "attempt-1", hub_token=None),
        threading.Event(),
        AttemptTrace(None),
        claimed_at=0.0,
    )
    supervision._take([rb'{"type":"log","message":"a\u0000b \\u0000 \\\u0000"}'])
    assert [message.message for message in supervision.relay.pending] == ["a\ufffdb \\u0000 \\\ufffd"]


def test_a_crash_is_recorded_whatever_bytes_its_log_holds(job):
    current = claim().claim
    folder = get_settings().jobs_dir / job / "attempt-1"
    folder.mkdir(parents=True)
    (folder / TRAINER_LOG).write_bytes(b"all went well\n\0\xff\n")
    commit_outcome(current, 1, result=None, error=None)
    assert (load(job).status, load(job).num_crashes) == ("queued", 1)
    events = service.list_events(job, after=None, limit=100).data
    assert ["all went well", "\ufffd\ufffd"] in [event.data["last_log_lines"] for event in events if event.data and "last_log_lines" in event.data]  # fmt: skip


def test_the_folder_of_jobs_may_be_a_link_to_a_larger_disk(job, tmp_path):
    (tmp_path / "disk").mkdir()
    get_settings().jobs_dir.symlink_to(tmp_path / "disk")
    relay = Relay(claim().claim)
    path = get_settings().jobs_dir / job / "attempt-1" / "checkpoint-5"
    relay.pending.append(
        CheckpointMessage(path=str(path), step=5, epoch=1.0, is_best=True, resumable=True, metrics={"eval/f1": 1.0},
                          manifest_sha256="0" * 64, size_bytes=1)
    )  # fmt: skip
    relay.flush()
    with reading() as session:
        (saved,) = records.checkpoints(session, job, committed_only=True)
    assert saved.path == f"{job}/attempt-1/checkpoint-5"
