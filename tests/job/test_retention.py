"""What attempts leave on the disk goes when nobody needs it any more."""

import os
import time
from datetime import timedelta

import pytest

from app import ids
from app.clock import utc_now
from app.config import get_settings
from app.db import transaction
from app.job import retention, service
from app.job.models import Checkpoint
from app.job.states import JobStatus
from tests.conftest import reset_process_state
from tests.job.conftest import insert_job

DAY = 24 * 3600


def attempt_folder(job_id, number=1):
    folder = get_settings().jobs_dir / job_id / f"attempt-{number}"
    (folder / "checkpoints").mkdir(parents=True)
    return folder


def half_written(folder, *, age_seconds=0):
    """As a trainer that was killed leaves it."""
    path = folder / "checkpoints/.tmp-step-00000010-4711"
    path.mkdir()
    weights = path / "model.safetensors"
    weights.write_bytes(b"half")
    for each in (weights, path):
        os.utime(each, (time.time() - age_seconds,) * 2)
    return path


def saved_checkpoint(job_id, folder, *, step=10):
    path = folder / f"checkpoints/step-{step:08d}"
    path.mkdir()
    (path / "model.safetensors").write_bytes(b"weights")
    with transaction() as session:
        session.add(
            Checkpoint(
                id=ids.new_id(ids.CHECKPOINT), job_id=job_id, attempt=1, step=step, epoch=1.0, metrics={}, size_bytes=7,
                path=path.relative_to(get_settings().jobs_dir).as_posix(), manifest_sha256="0" * 64, created_at=utc_now(),
            )
        )  # fmt: skip
    return path


def test_what_was_being_written_is_removed_once_it_has_rested(database):
    folder = attempt_folder(insert_job(status=JobStatus.RUNNING))
    fresh = half_written(folder)
    assert retention.collect_half_written(older_than_seconds=60) == 0
    assert fresh.exists()
    half_written(attempt_folder(insert_job()), age_seconds=3600)
    assert retention.collect_half_written(older_than_seconds=60) == 1


def test_the_next_attempt_removes_at_once_what_those_before_were_writing(database):
    job = insert_job()
    own = half_written(attempt_folder(job))
    others = half_written(attempt_folder(insert_job()))
    retention.collect_of_earlier_attempts(job)
    assert (own.exists(), others.exists()) == (False, True)


@pytest.mark.parametrize(
    ("status", "ended_days_ago", "kept"),
    [("succeeded", 8, False), ("failed", 8, False), ("succeeded", 6, True), ("paused", None, True)],
)
def test_checkpoints_go_a_week_after_their_job_has_ended(database, status, ended_days_ago, kept):
    finished_at = None if ended_days_ago is None else utc_now() - timedelta(days=ended_days_ago)
    job = insert_job(status=JobStatus(status), finished_at=finished_at)
    folder = attempt_folder(job)
    path = saved_checkpoint(job, folder)
    (folder / "trainer.log").write_text("a line\n")
    retention.forget_old_checkpoints()
    assert path.exists() == kept
    assert [c.state for c in service.list_checkpoints(job).data] == ["committed" if kept else "deleted"]
    assert (folder / "trainer.log").exists()


def test_how_long_they_are_kept_is_a_setting(database, monkeypatch):
    monkeypatch.setenv("TUNERY_KEEP_CHECKPOINTS_SECONDS", "0")
    reset_process_state()
    job = insert_job(status=JobStatus.SUCCEEDED, finished_at=utc_now() - timedelta(seconds=1))
    path = saved_checkpoint(job, attempt_folder(job))
    assert retention.forget_old_checkpoints() == 1
    assert not path.exists()
    assert retention.forget_old_checkpoints() == 0
