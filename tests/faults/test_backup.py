"""The commands of docs/backup.md, beside a service at work: what is restored answers the same and goes on with its jobs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.conftest import IMPATIENT, LONG, running
from tests.stack.processes import ROOT

pytestmark = [pytest.mark.xdist_group("faults"), pytest.mark.long, pytest.mark.timeout(600)]

PAGE = (ROOT / "docs/backup.md").read_text()


def commands(heading: str) -> list[str]:
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def run(script: str, **variables: object) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TUNERY_")}
    environment |= {name: str(value) for name, value in variables.items()}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def databases(request, monkeypatch):
    """Its name; the URL of the one to be backed up, and of an empty one to restore it into, if it is a server's."""
    if request.param == "SQLite":
        return "SQLite", None, None
    server = request.getfixturevalue("postgres_server")
    monkeypatch.setenv("PATH", f"{server.binaries}{os.pathsep}{os.environ['PATH']}")
    return "PostgreSQL", server.create_database(), server.create_database()


def test_what_is_restored_answers_the_same_and_goes_on_with_its_jobs(databases, tmp_path, encoder):
    kind, database, restored_database = databases
    home, restored_home, backup = tmp_path / "home", tmp_path / "restored", tmp_path / "backup"
    for folder in (restored_home, backup):
        folder.mkdir()
    variables = {"TUNERY_HOME": home, "BACKUP": backup, "RESTORED_HOME": restored_home}
    settings, restored_settings = dict(IMPATIENT), dict(IMPATIENT)
    if database is not None:
        settings["TUNERY_DATABASE_URL"], restored_settings["TUNERY_DATABASE_URL"] = database, restored_database
        variables["DATABASE"] = database.replace("+psycopg", "")
        variables["RESTORED_DATABASE"] = restored_database.replace("+psycopg", "")

    make, restore = commands(f"With {kind}")[:2]
    with running(home, encoder, **settings) as service:
        finished = service.wait(service.train())["model"]["id"]
        scores = service.again("POST", "/predict", json={"model": finished, "inputs": ["good", "bad"]}).json()
        going = service.train(seed=2, training=LONG)
        service.wait_for_step(going, 60)
        run(make, **variables)
        assert service.job(going)["status"] == "running", "it was to be over only after the backup"
        weights = service.wait(going)["model"]["weights_sha256"]

    run(restore, **variables)
    [after] = commands("After a restore")
    told = run(after, **variables, **restored_settings)
    assert "All is well" in told
    with running(restored_home, encoder, **restored_settings) as service:
        again = service.again("POST", "/predict", json={"model": finished, "inputs": ["good", "bad"]}).json()
        assert again["predictions"] == scores["predictions"]
        job = service.wait(going)
        assert (job["status"], job["attempt"], job["model"]["weights_sha256"]) == ("succeeded", 2, weights)
