"""Who changed what: a line for each request that may change something, done or refused, and none for questions."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text, update

from app.audit import service
from app.audit.actions import action_of
from app.audit.models import AuditEvent
from app.caller import Caller
from app.clock import utc_now
from app.config import get_settings
from app.db import transaction
from app.job import lifecycle
from app.key import projects
from app.key import service as keys
from app.key.schemas import NewKey, NewProject
from app.key.scopes import Scope
from app.main import create_app
from tests.conftest import reset_process_state
from tests.job.conftest import insert_job

ROWS = b'{"text": "good", "label": 1}\n{"text": "bad", "label": 0}\n' * 20


def log(client, **asked):
    return client.get("/audit", params=asked).raise_for_status().json()["data"]


def test_each_change_is_a_line_that_names_what_it_made(client):
    file_id = client.post("/files", files={"file": ("d.jsonl", ROWS)}, headers={"x-request-id": "req-1"}).json()["id"]
    webhook = client.post("/webhooks", json={"url": "https://receiver.example/hook"}).json()["id"]
    job = insert_job()
    assert client.post(f"/jobs/{job}/cancel").status_code == 200
    assert client.post(f"/jobs/{job}/pause").status_code == 409
    assert client.delete(f"/files/{file_id}").status_code == 200
    assert client.delete("/webhooks/webhook-unknown").status_code == 404
    told = [(line["action"], line["object_id"], line["status"]) for line in log(client)]
    assert told == [
        ("webhook.delete", "webhook-unknown", 404), ("file.delete", file_id, 200), ("job.pause", job, 409),
        ("job.cancel", job, 200), ("webhook.create", webhook, 201), ("file.create", file_id, 201),
    ]  # fmt: skip
    first = log(client, action="file.create")[0]
    assert (first["project_id"], first["key_id"], first["request_id"]) == ("default", None, "req-1")
    assert first["client"] == "testclient"
    assert abs(utc_now() - service.list_events(action=None, object_id=None, project_id=None, after=None, limit=1).data[0].created_at) < timedelta(minutes=5)  # fmt: skip


def test_openais_clients_leave_the_same_lines(client):
    answer = client.post("/v1/files", files={"file": ("d.jsonl", ROWS)}, data={"purpose": "fine-tune"})
    file_id = answer.raise_for_status().json()["id"]
    client.delete(f"/v1/files/{file_id}").raise_for_status()
    assert [(line["action"], line["object_id"]) for line in log(client)] == [
        ("file.delete", file_id), ("file.create", file_id)
    ]  # fmt: skip


def test_questions_and_looks_leave_no_line(client):
    client.post("/predict", json={"model": "none", "inputs": "a"})
    client.post("/jobs/none", json={})
    client.get("/jobs")
    client.post("/nowhere", json={})
    assert [line["action"] for line in log(client)] == []


def test_what_is_only_checked_leaves_no_line(client):
    file_id = client.post("/files", files={"file": ("d.jsonl", ROWS)}).json()["id"]
    spec = {"model": "acme/model", "dataset": {"train": file_id, "validation": 0.25}}
    assert client.post("/jobs", params={"validate_only": True}, json=spec).status_code == 200
    assert [line["action"] for line in log(client)] == ["file.create"]
    job_id = client.post("/jobs", json=spec).json()["id"]
    assert [(line["action"], line["object_id"]) for line in log(client, limit=1)] == [("job.create", job_id)]


def test_what_is_turned_away_stands_there_without_a_name(sqlite_home, monkeypatch):
    monkeypatch.setenv("TUNERY_FIRST_API_KEY", "a-key")
    reset_process_state()
    with TestClient(create_app(), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        assert client.delete("/models/some", headers={"authorization": "Bearer wrong"}).status_code == 401
        [line] = client.get("/audit", headers={"authorization": "Bearer a-key"}).json()["data"]
    assert (line["action"], line["status"], line["project_id"]) == ("model.delete", 401, None)


@pytest.mark.parametrize("how", ["its body's type", "its body's length", "a failure"])
def test_what_is_refused_or_fails_stands_there_with_who_asked(sqlite_home, monkeypatch, how):
    monkeypatch.setattr("app.webhook.service._check_url", lambda *_, **__: 1 / 0)
    project = projects.create(NewProject(name="team"))
    key = keys.create(NewKey(name="of the team", project="team"))
    admin = keys.create(NewKey(name="of an admin", scopes=[Scope.ADMIN]))
    sent = {
        "its body's type": {"content": b"<a/>", "headers": {"content-type": "text/xml"}},
        "its body's length": {"content": b" " * (get_settings().max_body_bytes + 1), "headers": {"content-type": "application/json"}},
        "a failure": {"content": b'{"url": "https://receiver.example/hook"}', "headers": {"content-type": "application/json"}},
    }[how]  # fmt: skip
    with TestClient(create_app(), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        sent["headers"]["authorization"] = f"Bearer {key.key}"
        refused = client.post("/webhooks", **sent)
        [line] = client.get("/audit", headers={"authorization": f"Bearer {admin.key}"}).json()["data"]
    assert (line["action"], line["status"]) == ("webhook.create", refused.status_code)
    assert refused.status_code == {"its body's type": 422, "its body's length": 413, "a failure": 500}[how]
    assert (line["project_id"], line["key_id"]) == (project.id, key.id)


def test_a_failure_of_the_service_is_a_line_too(client, monkeypatch):
    job = insert_job()
    monkeypatch.setattr(lifecycle.events, "append", lambda *_, **__: 1 / 0)
    assert client.post(f"/jobs/{job}/cancel").status_code == 500
    assert [(line["action"], line["status"]) for line in log(client)] == [("job.cancel", 500)]


def test_a_log_that_cannot_be_written_fails_no_request(client, caplog):
    with transaction() as session:
        session.execute(text("DROP TABLE audit_events"))
    assert client.post("/files", files={"file": ("d.jsonl", ROWS)}).status_code == 201
    assert "a line of the audit log was not written" in caplog.text


def test_pages_go_on_and_filters_narrow(database):
    for number in range(5):
        who = Caller(project_id=f"p{number % 2}", key_id="key-1")
        service.record(
            "job.cancel", caller=who, object_id=f"job-{number}", status=200, client="10.0.0.1", request_id="r"
        )
    every = {"action": None, "object_id": None, "project_id": None}
    seen, after = [], None
    while True:
        page = service.list_events(**every, after=after, limit=2)
        seen += [event.object_id for event in page.data]
        after = page.last_id
        if not page.has_more:
            break
    assert seen == [f"job-{number}" for number in (4, 3, 2, 1, 0)]
    of_one = service.list_events(**every | {"project_id": "p1"}, after=None, limit=10).data
    assert [event.object_id for event in of_one] == ["job-3", "job-1"]


def test_old_lines_go(database):
    for name in ("old", "new"):
        service.record("job.cancel", caller=None, object_id=name, status=200, client=None, request_id="r")
    with transaction() as session:
        old = update(AuditEvent).where(AuditEvent.object_id == "old")
        session.execute(old.values(created_at=utc_now() - timedelta(days=366)))
    service.forget_old()
    left = service.list_events(action=None, object_id=None, project_id=None, after=None, limit=10).data
    assert [event.object_id for event in left] == ["new"]


def test_every_route_that_takes_changes_has_a_name_or_is_a_question(client):
    named, unnamed = {}, set()
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method in methods:
            if method != "get":
                action = action_of(method.upper(), path)
                named[method, path] = action
                if action is None:
                    unnamed.add(path)
    assert unnamed == {
        "/predict", "/models/{model_id}", "/models/{model_id}/predict", "/models/{model_id}/v1/chat/completions",
        "/v1/chat/completions",
    }  # fmt: skip
    assert (
        named["post", "/v1/fine_tuning/jobs/{job_id}/cancel"] == named["post", "/jobs/{job_id}/cancel"] == "job.cancel"
    )
    assert named["post", "/v1/fine_tuning/jobs"] == named["post", "/predict/batch"] == "job.create"
    assert named["post", "/models/{model_id}/export"] == "model.export"
    assert {action for action in named.values() if action} >= {
        "job.retry",
        "sweep.create",
        "sweep.cancel",
        "webhook.delete",
    }


@pytest.mark.parametrize(("method", "route"), [("GET", "/jobs"), ("POST", "/"), ("POST", "/unknown/{job_id}")])
def test_what_is_no_change_has_no_name(method, route):
    assert action_of(method, route) is None
