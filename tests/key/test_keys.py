"""What a key is, and how soon a running server knows of it."""

import sqlite3
import threading

import pytest
from fastapi.testclient import TestClient

from app import caller
from app.api import key_ring
from app.caller import Caller
from app.db import get_engine, reading
from app.errors import Unauthorized
from app.job import requests
from app.job.models import Job
from app.job.states import JobStatus
from app.key import repository, secret, service
from app.main import create_app
from app.webhook import service as webhooks
from app.webhook.schemas import NewWebhook
from tests.conftest import reset_process_state
from tests.job.conftest import insert_job
from tests.key.conftest import bearer
from tests.key.test_limits import ROWS
from tests.stack.processes import eventually


def client_of(app=None, **options):
    return TestClient(app or create_app(), base_url="http://127.0.0.1:8000", raise_server_exceptions=False, **options)


def row_of(key):
    with reading() as session:
        return repository.by_prefix(session, secret.prefix_of(key))


@pytest.fixture
def soon(monkeypatch):
    """What is remembered is remembered for a moment only."""
    monkeypatch.setattr(key_ring, "REMEMBERED_SECONDS", 0.2)


def test_of_a_key_only_the_hash_is_kept(sqlite_home, make_key):
    key = make_key()
    get_engine().dispose()
    stored = b"".join(path.read_bytes() for path in sqlite_home.glob("tunery.db*"))
    assert secret.digest(key).encode() in stored
    assert key.split("_", 2)[2].encode() not in stored
    assert len({make_key() for _ in range(20)}) == 20


def test_a_key_that_differs_in_one_letter_is_none(database, make_key):
    key = make_key()
    for place in (3, 8, 16, len(key) - 1):
        other = key[:place] + ("0" if key[place] != "0" else "1") + key[place + 1 :]
        with pytest.raises(Unauthorized) as caught:
            service.caller_of(other)
        assert caught.value.code == "invalid_api_key"
    assert service.caller_of(key)[0].project_id == "default"


def test_a_running_server_asks_for_keys_soon_after_the_first_is_made_and_ever_after(sqlite_home, make_key, soon):
    with client_of() as client:
        assert client.get("/jobs").status_code == 200
        key = make_key()  # as another process makes it
        assert eventually(lambda: client.get("/jobs").status_code == 401)
        assert client.get("/jobs", headers=bearer(key)).status_code == 200
        assert client.get("/jobs", headers={**bearer(key), "host": "tunery.example"}).status_code == 200
        service.revoke(row_of(key).id)
        assert eventually(lambda: client.get("/jobs", headers=bearer(key)).status_code == 401)
    with client_of() as client:
        assert client.get("/jobs").status_code == 401, "nothing opens again because no key is left"


def test_two_processes_agree_on_either_database(database, make_key, soon):
    """Each application has what a process has of its own."""
    admin = bearer(make_key(scopes=["admin"]))
    with client_of() as one, client_of() as other:
        made = one.post("/keys", json={"name": "x", "scopes": ["read"]}, headers=admin).json()
        headers = bearer(made["key"])
        assert [each.get("/jobs", headers=headers).status_code for each in (one, other)] == [200, 200]
        assert one.delete(f"/keys/{made['id']}", headers=admin).json()["revoked_at"] is not None
        assert one.get("/jobs", headers=headers).status_code == 401, "at once where it was revoked"
        assert eventually(lambda: other.get("/jobs", headers=headers).status_code == 401)
        listed = other.get("/keys", headers=admin).json()["data"]
        assert [key["id"] for key in listed if key["revoked_at"]] == [made["id"]]
        assert "sha256" not in str(listed)


def test_its_last_use_is_noted_by_nobody_who_is_waited_for(sqlite_home, make_key, soon):
    key = make_key()
    other = sqlite3.connect(sqlite_home / "tunery.db", isolation_level=None)
    with client_of() as client:
        other.execute("BEGIN IMMEDIATE")  # nobody can write
        assert client.get("/jobs", headers=bearer(key)).status_code == 200
        assert row_of(key).last_used_at is None
        other.execute("ROLLBACK")
        assert eventually(lambda: row_of(key).last_used_at is not None)
        noted = row_of(key).last_used_at
        assert eventually(lambda: client.get("/jobs", headers=bearer(key)).status_code == 200)
        service.note_use(row_of(key).id)
        assert row_of(key).last_used_at == noted, "not more than once a minute"
    other.close()


def test_the_key_of_the_settings_is_an_admins_and_needs_no_database(sqlite_home, monkeypatch):
    monkeypatch.setenv("TUNERY_FIRST_API_KEY", "sk-first")
    reset_process_state()
    with client_of() as client:
        told = client.get("/keys/me", headers=bearer("sk-first")).json()
        assert (told["key_id"], told["project_id"], told["scopes"]) == (
            "first",
            "default",
            ["admin", "metrics", "predict", "read", "write"],
        )
        assert client.get("/keys", headers=bearer("sk-first")).json()["data"] == []
        assert client.get("/keys", headers=bearer("sk-other")).status_code == 401


def test_while_the_database_is_away_no_key_is_taken_for_a_wrong_one(settings_home, monkeypatch):
    monkeypatch.setenv("TUNERY_DATABASE_URL", "postgresql+psycopg://postgres@/none?host=/nonexistent")
    monkeypatch.setenv("TUNERY_FIRST_API_KEY", "sk-first")
    reset_process_state()
    client = client_of()
    answer = client.get("/jobs", headers=bearer(secret.make().key))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert client.get("/openapi.json", headers=bearer("sk-first")).status_code == 200
    assert client.get("/health/live").status_code == 200


def test_the_stream_of_a_key_that_was_revoked_ends(sqlite_home, make_key):
    key = make_key()
    job_id = insert_job(status=JobStatus.RUNNING)
    with (
        client_of() as client,
        client.stream(
            "GET", f"/jobs/{job_id}/events", headers={**bearer(key), "accept": "text/event-stream"}
        ) as stream,
    ):
        lines = stream.iter_lines()
        assert any(line.startswith("id: ") for line in lines)
        service.revoke(row_of(key).id)
        requests.cancel(job_id)  # an event that the key is not to see
        assert not [line for line in lines if "Cancelling" in line]


def test_two_projects_may_use_the_same_idempotency_key(sqlite_home, project, make_key):
    made = set()
    with client_of() as client:
        for headers in (bearer(make_key()), bearer(make_key(project))):
            file_id = client.post("/files", files={"file": ("rows.jsonl", ROWS)}, headers=headers).json()["id"]
            spec = {"model": "acme/model", "dataset": {"train": file_id, "validation": 0.25}}
            for _ in range(2):
                answer = client.post("/jobs", json=spec, headers={**headers, "idempotency-key": "once"})
                assert answer.status_code == 201, answer.text
                made.add(answer.json()["id"])
    assert len(made) == 2


def test_the_end_of_a_job_is_told_to_the_webhooks_of_its_project_alone(database, project):
    hooks = {}
    for who in ("default", project):
        with caller.acting_for(Caller(project_id=who)):
            hooks[who] = webhooks.create(NewWebhook(url="https://receiver.example/")).id
    with caller.acting_for(Caller(project_id=project)):
        job_id = insert_job()
    requests.cancel(job_id)  # by the service itself, which sees all
    told = {hook.id: hook.deliveries.pending for hook in webhooks.list_webhooks().data}
    assert told == {hooks[project]: 1, hooks["default"]: 0}


def test_a_worker_finds_for_a_job_what_is_its_projects(database, project, settings_home):
    """A Hub id stays one, whatever others have registered under that name."""
    from app.clock import utc_now
    from app.db import transaction
    from app.job import lifecycle
    from app.model.models import Model
    from worker.supervisor import run_attempt

    with transaction() as session:
        session.add(
            Model(id="ft:acme/base:tunery::1", kind="fine-tuned", path="models/none", manifest_sha256="0" * 64,
                  weights_sha256="0" * 64, size_bytes=1, config={}, metrics={}, created_at=utc_now())
        )  # fmt: skip
    spec = {"model": "ft:acme/base:tunery::1", "dataset": {"train": "file-" + "0" * 32}}
    codes = {}
    for who in ("default", project):
        with caller.acting_for(Caller(project_id=who)):
            job_id = insert_job(spec=spec, requested_spec=spec)
        with transaction() as session:
            claimed = lifecycle.claim_next(session, worker_id="worker-a")
        run_attempt(claimed, draining=threading.Event())
        with reading() as session:
            codes[who] = session.get_one(Job, job_id).error["code"]
    assert codes == {"default": "artifact_corrupt", project: "model_not_found"}
