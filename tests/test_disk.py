"""A disk that is nearly full: uploads are refused, no job is begun, and what is there goes on."""

import errno
import os
import time

import pytest

from app import disk
from app.db import reading
from app.file import service as files
from app.job import repository, retention
from app.job.states import JobStatus
from app.manifest import TEMPORARY_PREFIX
from tests.conftest import reset_process_state
from tests.job.conftest import insert_job
from tests.road.tiny import jsonl, reviews

MORE_THAN_THERE_IS = str(2**60)


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (ValueError("I/O error: No space left on device (os error 28)"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (ValueError("os error 2"), False),
    ],
)
def test_a_full_disk_is_known_by_its_number(error, full):
    assert disk.is_full(error) == full


def test_there_is_room_where_a_folder_will_be_made(tmp_path):
    assert disk.has_room(tmp_path / "not/there/yet", min_free_bytes=1)
    assert not disk.has_room(tmp_path, min_free_bytes=2**60)


def test_without_room_an_upload_is_refused_and_a_job_is_not(client, monkeypatch):
    stored = client.post("/files", files={"file": ("a.jsonl", jsonl(reviews(20, seed=1)))}).json()
    monkeypatch.setenv("TUNERY_MIN_FREE_BYTES", MORE_THAN_THERE_IS)
    reset_process_state()
    refused = client.post("/files", files={"file": ("b.jsonl", jsonl(reviews(20, seed=2)))})
    assert (refused.status_code, refused.json()["error"]["code"]) == (507, "out_of_space")
    assert "Delete files or models" in refused.json()["hint"]
    assert [file["id"] for file in client.get("/files").json()["data"]] == [stored["id"]]


def test_without_room_a_worker_begins_no_job_and_with_room_it_does(sqlite_home, monkeypatch):
    from worker import tasks

    begun = []
    monkeypatch.setattr(tasks, "run_attempt", lambda claimed, **_: begun.append(claimed.claim.job_id))
    job = insert_job()
    monkeypatch.setenv("TUNERY_MIN_FREE_BYTES", MORE_THAN_THERE_IS)
    reset_process_state()
    tasks.run_available_jobs()
    with reading() as session:
        assert repository.get(session, job).status == JobStatus.QUEUED
    monkeypatch.setenv("TUNERY_MIN_FREE_BYTES", "0")
    reset_process_state()
    tasks.run_available_jobs()
    assert begun == [job]


@pytest.mark.parametrize("hours", [2, -2])
def test_what_is_half_written_is_not_older_for_a_clock_that_is_wrong(hours, sqlite_home, monkeypatch):
    """The folder's own stamps are compared with the clock that made them."""
    fresh = sqlite_home / "artefacts/files/file-fresh", sqlite_home / f"jobs/job/{TEMPORARY_PREFIX}fresh"
    old = sqlite_home / "artefacts/files/file-old", sqlite_home / f"jobs/job/{TEMPORARY_PREFIX}old"
    for folder in (*fresh, *old):
        folder.mkdir(parents=True)
    for folder in old:
        os.utime(folder, (0, 0))
    really = time.time
    monkeypatch.setattr(time, "time", lambda: really() + hours * 3600)
    assert files.collect_leftovers(older_than_seconds=3600) == 1
    assert retention.collect_half_written(older_than_seconds=3600) == 1
    assert [folder.exists() for folder in (*fresh, *old)] == [True, True, False, False]
