"""A database with jobs and sweeps in it gets owners, and loses nothing."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from alembic import command
from app.db import reading, transaction
from app.db.migrate import alembic_config, upgrade
from tests.conftest import reset_process_state

NOW = "'2026-01-01 00:00:00'"
BEFORE = f"""
INSERT INTO jobs (id, kind, status, spec, requested_spec, metadata, priority, processes, nodes, created_at, not_before, attempt, token,
                  num_crashes, num_losses, last_event_number, progress, warnings, timings)
VALUES ('job-1', 'training', 'succeeded', '{{}}', '{{}}', '{{}}', 0, 1, 1, {NOW}, {NOW}, 0, 0, 0, 0, 0, '{{}}', '[]', '{{}}');
INSERT INTO studies (id, status, spec, requested_spec, base_spec, metadata, created_at, idempotency_key, request_sha256)
VALUES ('sweep-1', 'running', '{{}}', '{{}}', '{{}}', '{{}}', {NOW}, 'once', 'x');
INSERT INTO trials (study_id, number, job_id, params, state, created_at, num_judged, optuna_attrs)
VALUES ('sweep-1', 0, 'job-1', '{{}}', 'complete', {NOW}, 0, '{{}}');
INSERT INTO job_events (job_id, number, created_at, level, type, message) VALUES ('job-1', 1, {NOW}, 'info', 'message', 'said');
INSERT INTO idempotency_keys (key, request_sha256, job_id, created_at) VALUES ('once', 'x', 'job-1', {NOW})
"""
AGAIN = f"""INSERT INTO studies (id, project_id, status, spec, requested_spec, base_spec, metadata, created_at, idempotency_key,
request_sha256) VALUES (:id, :project, 'running', '{{}}', '{{}}', '{{}}', '{{}}', {NOW}, 'once', 'x')"""


@pytest.fixture(params=["sqlite", "postgresql"])
def used_database(request, settings_home, monkeypatch):
    """Of the version before, with a job that is a trial of a sweep."""
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
        monkeypatch.setenv("TUNERY_DATABASE_URL", server.create_database())
        reset_process_state()
    command.upgrade(alembic_config(), "0009")
    with transaction() as session:
        for statement in BEFORE.split(";"):
            session.execute(text(statement))


def everything():
    with reading() as session:
        tables = ("jobs", "job_events", "studies", "trials", "idempotency_keys")
        return {name: [row._asdict() for row in session.execute(text(f"SELECT * FROM {name}"))] for name in tables}


def test_what_was_there_belongs_to_the_built_in_project(used_database):
    before = everything()
    command.upgrade(alembic_config(), "0010")
    after = everything()
    for name, rows in before.items():
        owner = {} if name in {"trials", "job_events"} else {"project_id": "default"}
        assert after[name] == [row | owner for row in rows], name
    with transaction() as session:
        session.execute(text(AGAIN), {"id": "sweep-2", "project": "proj-other"})
    with pytest.raises(IntegrityError), transaction() as session:
        session.execute(text(AGAIN), {"id": "sweep-3", "project": "default"})


def test_and_is_there_after_a_way_back(used_database):
    before = everything()
    upgrade()
    command.downgrade(alembic_config(), "0009")
    assert everything() == before
