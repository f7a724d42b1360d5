"""Files once they are stored: listed by keyset, deleted when no job needs them, cleaned up after a crash."""

import json
import os
import time
from collections.abc import Iterator

import pytest

from app.config import get_settings
from app.errors import Conflict, InvalidRequest, NotFound
from app.file import service
from app.file.upload import UploadPart
from app.job.states import JobStatus
from tests.job.conftest import insert_job

ROWS = "".join(json.dumps({"text": f"text {i}", "label": i % 2}) + "\n" for i in range(4)).encode()


def parts(filename: str) -> Iterator[UploadPart]:
    yield UploadPart(name="file", filename=filename, blocks=iter([ROWS]))


@pytest.fixture
def files(database) -> list[str]:
    """Ids of five stored files, oldest first."""
    return [service.create_file(parts(f"{i}.jsonl")).id for i in range(5)]


def test_pages_go_from_new_to_old_without_gap_or_repeat(files):
    first = service.list_files(after=None, limit=2)
    assert [file.id for file in first.data] == files[:2:-1]
    assert (first.has_more, first.first_id, first.last_id) == (True, files[4], files[3])
    assert [file.num_rows for file in first.data] == [4, 4]
    newer = service.create_file(parts("newer.jsonl")).id
    second = service.list_files(after=first.last_id, limit=3)
    assert [file.id for file in second.data] == files[2::-1]
    assert not second.has_more
    assert service.list_files(after=None, limit=1).data[0].id == newer
    assert service.list_files(after=files[0], limit=1).model_dump() == {
        "data": [], "has_more": False, "first_id": None, "last_id": None,
    }  # fmt: skip
    with pytest.raises(InvalidRequest):
        service.list_files(after="ftjob-1", limit=1)


def test_the_row_tells_where_the_bytes_are_and_what_they_hold(files):
    file = service.get_file(files[0])
    assert service.path_of(file).read_bytes() == ROWS
    assert service.profile_of(file).num_rows == 4


@pytest.mark.parametrize(
    ("status", "split"),
    [*((status, "train") for status in JobStatus), (JobStatus.QUEUED, "validation"), (JobStatus.RUNNING, "test")],
)
def test_a_file_is_deleted_unless_an_unfinished_job_needs_it(files, split, status):
    spec = {"model": "tiny", "dataset": {"train": files[1], split: files[0]}}
    job_id = insert_job(status=status, spec=spec)
    folder = service.path_of(service.get_file(files[0])).parent
    if status in {JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED}:
        with pytest.raises(Conflict, match=job_id):
            service.delete_file(files[0])
        assert folder.exists()
    else:
        assert service.delete_file(files[0]).deleted
        assert not folder.exists()
        with pytest.raises(NotFound):
            service.get_file(files[0])
    service.delete_file(files[2])


@pytest.mark.parametrize("file_id", ["file-" + "0" * 32, "file-\0", "../x", ""])
def test_what_is_no_file_is_not_found(database, file_id):
    for ask in (service.get_file, service.describe, service.content_of, service.delete_file):
        with pytest.raises(NotFound):
            ask(file_id)


def test_folders_that_belong_to_no_file_are_removed_once_they_are_old(files):
    root = get_settings().artefacts_dir / "files"
    orphan, temporary, running = root / "file-orphan", root / ".tmp-file-x-1", root / ".tmp-file-y-1"
    long_ago = time.time() - 3600
    for folder in (orphan, temporary, running):
        folder.mkdir()
        (folder / "data.jsonl").write_bytes(ROWS)
        os.utime(folder, (long_ago, long_ago))
    for folder in (orphan, temporary, root / files[0]):
        for path in (folder, *folder.iterdir()):
            os.utime(path, (long_ago, long_ago))
    assert service.collect_leftovers(older_than_seconds=600) == 2
    assert sorted(path.name for path in root.iterdir()) == sorted([running.name, *files])


def test_the_http_face_of_a_file(client):
    file_id = client.post("/files", files={"file": ("a.jsonl", ROWS)}).json()["id"]
    listed = client.get("/files", params={"limit": 1}).json()
    assert [file["id"] for file in listed["data"]] == [file_id]
    assert "profile" not in listed["data"][0]
    assert client.delete(f"/files/{file_id}").json() == {"id": file_id, "object": "file", "deleted": True}
    for answer in (
        client.get(f"/files/{file_id}"),
        client.get(f"/files/{file_id}/content"),
        client.delete(f"/files/{file_id}"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "file_not_found")
    assert client.get("/files", params={"after": "../x"}).status_code == 422
    assert client.get("/files", params={"limit": 0}).status_code == 422


def test_a_file_whose_bytes_are_gone_is_said_to_be(client):
    file_id = client.post("/files", files={"file": ("a.jsonl", ROWS)}).json()["id"]
    service.path_of(service.get_file(file_id)).unlink()
    answer = client.get(f"/files/{file_id}/content")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "artifact_corrupt")
