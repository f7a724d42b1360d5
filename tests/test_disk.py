"""A disk that is nearly full: uploads are refused, no job is begun, and what is there goes on."""

import errno

import pytest

from app import disk
from app.db import reading
from app.job import repository
from app.job.states import JobStatus
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
