"""Is the API ready: for all of its work, or for what somebody asks for."""

import socket

from sqlalchemy import text

from app import health
from app.config import get_settings
from app.db import transaction


def ready(client, *parts):
    answer = client.get("/health/ready", params={"part": list(parts)})
    return answer.status_code, answer.json()["status"]


def test_an_api_without_worker_and_predictor_can_do_a_part_of_its_work(either_client):
    assert either_client.get("/health/live").json() == {"status": "ok"}
    assert ready(either_client) == (503, "unavailable")
    assert ready(either_client, "database", "schema") == (200, "degraded")
    assert ready(either_client, "database", "predictor") == (503, "unavailable")
    assert either_client.get("/health/ready", params={"part": "moon"}).status_code == 422


def test_a_schema_that_does_not_fit_is_told_with_what_to_do(either_client):
    with transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    answer = either_client.get("/health/ready", params={"part": ["database", "schema"]})
    assert (answer.status_code, answer.json()["parts"]["schema"]) == (503, False)
    assert answer.json()["message"].endswith("run tunery migrate.")
    assert ready(either_client, "database") == (200, "degraded")


def test_a_broker_that_is_away_is_tried_once(sqlite_home, monkeypatch):
    """A probe waits a second, and what tries again with pauses takes five."""
    tried = []
    connect = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", lambda self, place: (tried.append(place), connect(self, place)))
    parts, _ = health.stored_parts()
    assert (parts["broker"], parts["database"]) == (False, True)
    assert tried == [get_settings().broker.removeprefix("redis+socket://")]
