"""The database of a service at work is migrated by a newer version: its workers go on, or claim nothing and say why."""

import sqlite3
from contextlib import closing

import pytest

from app.db.migrate import upgrade
from tests.faults.conftest import IMPATIENT, LONG, running
from tests.newer_version import ADDS, NEXT, newer_version
from tests.stack.processes import eventually

pytestmark = [pytest.mark.xdist_group("faults"), pytest.mark.long]


def support(home, oldest_code):
    with closing(sqlite3.connect(home / "tunery.db", timeout=30)) as database, database:
        [(before,)] = database.execute("SELECT oldest_code FROM schema_support")
        database.execute("UPDATE schema_support SET oldest_code = ?", (oldest_code,))
    return before


def test_workers_of_the_version_before_go_on_until_the_schema_is_not_theirs_any_more(tmp_path, encoder):
    home = tmp_path / "home"
    with running(home, encoder, **IMPATIENT) as service:
        job_id = service.train(training=LONG)
        service.wait_for_step(job_id, 20)
        upgrade(f"sqlite:///{home / 'tunery.db'}", scripts=newer_version(tmp_path, ADDS))
        assert service.job(job_id)["status"] == "running"
        job = service.wait(job_id)
        assert (job["status"], job["attempt"]) == ("succeeded", 1)
        assert service.wait(service.train(seed=2))["status"] == "succeeded"
        assert service.http.get("/health/ready").json()["parts"]["schema"] is True

        before = support(home, NEXT)
        job_id = service.train(seed=3)
        assert eventually(lambda: "the worker claims nothing" in service.up.log(), seconds=60)
        ready = service.http.get("/health/ready")
        assert (ready.status_code, ready.json()["parts"]["schema"]) == (503, False)
        assert "replace it by a newer one" in ready.json()["message"]
        assert service.job(job_id)["status"] == "queued"

        support(home, before)
        assert service.wait(job_id)["status"] == "succeeded"
