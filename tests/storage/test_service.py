"""The service over a store: uploads, downloads, damage and absence, as clients and the checker G see them."""

import os
import shutil
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient

from app import storage
from app.config import get_settings
from app.db import reading, transaction
from app.file import service as files
from app.job import lifecycle, repository
from app.main import create_app
from app.model import service as models
from app.spec.messages import CheckpointMessage
from app.spec.run import TRAINER_LOG
from app.storage.folders import remote_store
from app.storage.remote import remote_at
from app.verify import verify
from tests.conftest import reset_process_state
from tests.job.conftest import insert_job
from tests.road.tiny import build_encoder, jsonl, reviews
from tests.stack.processes import eventually
from worker import heartbeat
from worker.uploading import Uploads

ROWS = jsonl(reviews(12, seed=1))
pytestmark = pytest.mark.parametrize("store_url", ["s3"], indirect=True)


@pytest.fixture
def database_url(tmp_path, migrated_sqlite) -> dict[str, str]:
    """Of all machines."""
    shutil.copy(migrated_sqlite, tmp_path / "shared.db")
    return {"TUNERY_DATABASE_URL": f"sqlite:///{tmp_path / 'shared.db'}"}


@contextmanager
def api():
    with TestClient(create_app(), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client


def upload(client: TestClient) -> str:
    answer = client.post("/files", files={"file": ("größe 1.jsonl", ROWS)})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_a_file_is_read_on_another_machine_through_the_service_or_past_it(machines, database_url):
    machines.go_to("a", **database_url)
    with api() as client:
        file_id = upload(client)
    home = machines.go_to("b")
    with api() as client:
        assert client.get(f"/files/{file_id}/content").content == ROWS
        part = client.get(f"/files/{file_id}/content", headers={"range": "bytes=5-9"})
        assert (part.status_code, part.content) == (206, ROWS[5:10])
    assert [path.name for path in (home / "artefacts/files").iterdir()] == [file_id]
    machines.go_to("c", TUNERY_PRESIGNED_DOWNLOADS="true")
    with api() as client:
        answer = client.get(f"/files/{file_id}/content", follow_redirects=False)
        assert answer.status_code == 307
        assert client.get("/files/file-0199f0c3a4b27d6a8f4c2e0d9b1a5c7e/content").status_code == 404
        assert client.get(f"/v1/files/{file_id}/content").content == ROWS, "OpenAI's clients are not sent elsewhere"
        assert client.delete(f"/files/{file_id}").status_code == 200
        assert client.get(f"/files/{file_id}/content").status_code == 404
    gone = httpx2.get(answer.headers["location"])
    assert gone.status_code == 404
    assert storage.stored_folders(get_settings().artefacts_dir / "files") == {}


def test_a_link_past_the_service_carries_the_name_of_the_file_and_no_secret(machines, database_url):
    machines.go_to("a", **database_url, TUNERY_PRESIGNED_DOWNLOADS="true")
    with api() as client:
        file_id = upload(client)
        url = client.get(f"/files/{file_id}/content", follow_redirects=False).headers["location"]
    answer = httpx2.get(url)
    assert answer.content == ROWS
    assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''gr%C3%B6%C3%9Fe%201.jsonl"
    assert "a-secret-of-the-tests" not in url
    assert httpx2.get(url.replace(file_id, file_id[:-1])).status_code == 403


def test_while_the_store_is_away_clients_are_told_to_come_back_and_nothing_is_half_done(
    machines, database_url, monkeypatch, tmp_path
):
    encoder = build_encoder(tmp_path / "tiny-bert")
    parts = [("files", (path.name, path.read_bytes())) for path in sorted(encoder.iterdir())]
    home = machines.go_to("a", **database_url)
    with api() as client:
        file_id = upload(client)
        assert client.post("/models", data={"name": "tiny"}, files=parts).status_code == 201
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    home = machines.go_to("b")
    forget_connections()
    with api() as client:
        answers = [
            client.post("/files", files={"file": ("data.jsonl", ROWS)}),
            client.get(f"/files/{file_id}/content"),
            client.get("/models/tiny"),
            client.get("/models/tiny/download"),
            client.post("/jobs", json={"model": "tiny", "dataset": {"train": file_id}}),
        ]
        for answer in answers:
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "storage_unavailable"), answer.text
            assert int(answer.headers["retry-after"]) > 0
        assert [file["id"] for file in client.get("/files").json()["data"]] == [file_id]
    assert not list((home / "artefacts/files").glob("*")), "nothing is left of what was refused"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    forget_connections()
    with api() as client:
        assert client.get(f"/files/{file_id}/content").content == ROWS
        assert client.get("/models/tiny").status_code == 200


def forget_connections() -> None:
    """As a new process has none."""
    remote_at.cache_clear()
    reset_process_state()


def test_the_checker_reads_the_store_and_finds_what_is_damaged_there(machines, database_url):
    machines.go_to("a", **database_url)
    with api() as client:
        good, changed, missing = upload(client), upload(client), upload(client)
    machines.go_to("b")
    assert list(verify()) == []
    remote = remote_store()
    remote.write(f"artefacts/files/{changed}/data.jsonl", ROWS[:-2] + b"x\n")
    remote.delete_below(f"artefacts/files/{missing}")
    found = {(finding.subject, finding.kind) for finding in verify()}
    assert found == {(changed, "file_changed"), (missing, "file_missing")}
    assert good not in {subject for subject, _ in found}
    with api() as client:
        for file_id in (changed, missing):
            answer = client.get(f"/files/{file_id}/content")
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "artifact_corrupt")


def test_what_no_row_names_is_collected_in_the_store_once_it_is_old(machines, database_url, sealed, monkeypatch):
    machines.go_to("a", **database_url)
    with api() as client:
        kept = upload(client)
    for folder in (sealed("files/file-stray"), sealed("models/stray"), sealed(f"bases/{'0' * 64}")):
        storage.publish(folder)
    artefacts = get_settings().artefacts_dir
    roots = [artefacts / name for name in ("files", "models", "bases")]
    machines.go_to("b")
    assert files.collect_leftovers(older_than_seconds=3600) == 0
    monkeypatch.setattr(files, "STORED_LEFTOVER_SECONDS", -60)
    assert files.collect_leftovers(older_than_seconds=-60) == 1
    assert models.remove_strays(older_than=timedelta(days=1)) == []
    assert models.remove_strays(older_than=timedelta(seconds=-60)) == ["stray"]
    assert models.remove_unused(older_than=timedelta(seconds=-60)) == ["0" * 64]
    artefacts = get_settings().artefacts_dir
    assert [len(storage.stored_folders(artefacts / root.name)) for root in roots] == [1, 0, 0]
    assert list(storage.stored_folders(artefacts / "files")) == [artefacts / "files" / kept]


def test_checkpoints_wait_for_a_store_that_is_away(machines, sealed, own_s3_server, monkeypatch):
    monkeypatch.setenv("TUNERY_ARTEFACTS_URL", own_s3_server.new_place())
    monkeypatch.setenv("AWS_ENDPOINT_URL", own_s3_server.endpoint)
    forget_connections()
    home = machines.go_to("a")
    forget_connections()
    run_dir = home / "jobs/one/attempt-1"
    steps = [sealed(f"../jobs/one/attempt-1/checkpoints/step-{number}") for number in (1, 2)]
    (run_dir / TRAINER_LOG).write_bytes(b"a line\n")
    own_s3_server.stop()
    uploads = Uploads(run_dir)
    for number, folder in enumerate(steps):
        uploads.take(message(folder, step=number))
    assert not eventually(uploads.is_idle, seconds=3)
    assert uploads.sent() == []
    own_s3_server.start()
    assert eventually(uploads.is_idle, seconds=60)
    assert [told.step for told in uploads.sent()] == [0, 1]
    uploads.remove([steps[0]])
    assert eventually(lambda: not storage.is_stored(steps[0]), seconds=30)
    uploads.end()
    other = machines.go_to("b") / "jobs/one/attempt-1"
    storage.fetch(other / "checkpoints/step-2")
    assert storage.read(other / TRAINER_LOG) == b"a line\n"


def test_the_log_of_a_node_is_read_on_another_machine(machines, database_url):
    home = machines.go_to("a", **database_url)
    spec = {"model": "tiny", "dataset": {"train": "file-" + "0" * 32}, "resources": {"nodes": 2, "processes": 2}}
    job_id = insert_job(attempt=1, spec=spec)
    run_dir = home / "jobs" / job_id / "attempt-1" / "node-1"
    run_dir.mkdir(parents=True)
    (run_dir / TRAINER_LOG).write_bytes(b"follows\n")
    Uploads(run_dir).end()
    machines.go_to("b")
    with api() as client:
        assert client.get(f"/jobs/{job_id}/logs", params={"node": 1}).json()["lines"] == ["follows"]


def test_a_claim_stays_alive_while_something_long_is_brought(machines, database_url):
    machines.go_to("a", **database_url, TUNERY_LEASE_SECONDS="1")
    insert_job()
    with transaction() as session:
        claimed = lifecycle.claim_next(session, worker_id="here")

    def lease_until():
        with reading() as session:
            return repository.get(session, claimed.claim.job_id).lease_until

    first = lease_until()
    with heartbeat.renewed(claimed.claim):
        assert eventually(lambda: lease_until() > first)


def message(folder: Path, *, step: int) -> CheckpointMessage:
    return CheckpointMessage(
        path=str(folder.resolve()),
        step=step,
        epoch=0.0,
        is_best=False,
        resumable=True,
        metrics={},
        manifest_sha256="",
        size_bytes=1,
    )
