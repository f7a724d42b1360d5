"""Row A6: a Hub token that a job needs is in no table, file, log, event, argument or environment, while it trains or after."""

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from tests.hub import builders
from tests.hub.server import FakeHub
from tests.road.conftest import Service, assert_all_is_well
from tests.stack.processes import Up

CANARY = "hf_canaryCANARYcanary0123456789"


def found_in(folder: Path) -> list[str]:
    """The files that hold it. What vanishes while they are looked through, as old checkpoints do, is passed over."""
    found = []
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and CANARY.encode() in path.read_bytes():
                    found.append(str(path))
    return found


def found_in_tables(database: Path) -> list[str]:
    connection = sqlite3.connect(database)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert "hub_tokens" in tables
    found = [name for name in tables for row in connection.execute(f"SELECT * FROM {name}") if CANARY in str(row)]
    connection.close()
    return found


def found_in_processes(up: Up) -> list[str]:
    found = []
    for pid, command in up.children().items():
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        if CANARY in command or CANARY.encode() in environment:
            found.append(command)
    return found


@pytest.mark.xdist_group("canary")
@pytest.mark.parametrize("warm", ["true", pytest.param("false", marks=pytest.mark.long)])
def test_a_job_reads_gated_repositories_and_leaves_no_trace_of_the_token(tmp_path, encoder, warm):
    with FakeHub(tmp_path / "hub") as hub:
        hub.add_model("acme/gated-bert", encoder, gated_for=CANARY)
        hub.add_dataset("acme/gated-glue", files=builders.glue_files(), configs=builders.GLUE_CONFIGS, gated_for=CANARY)
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"}
        up = Up(
            tmp_path / "home",
            TUNERY_HUB_TIMEOUT_SECONDS="30",
            TUNERY_LOG_LEVEL="debug",
            TUNERY_WARM_START=warm,
            **settings,
        )
        try:
            service = Service(up, up.wait_ready())
            spec = {
                "model": "acme/gated-bert",
                "dataset": {"name": "acme/gated-glue", "config": "mrpc"},
                "training": {
                    "num_train_epochs": 2000,
                    "eval_strategy": "no",
                    "save_strategy": "steps",
                    "save_steps": 50,
                },
            }
            refused = service.http.post("/jobs", json=spec)
            assert (refused.status_code, refused.json()["error"]["code"]) == (422, "model_gated")
            service.http.put("/hub-token", json={"token": CANARY}).raise_for_status()
            job_id = service.submit(**spec)
            service.wait_for(job_id, lambda job: job["phase"] == "training" or job["finished_at"])
            assert any("worker.trainer" in command for command in up.children().values())
            assert found_in_processes(up) == []
            assert found_in(tmp_path) == []
            service.http.post(f"/jobs/{job_id}/stop").raise_for_status()
            job = service.wait(job_id)
            assert job["status"] == "succeeded", (job["error"], service.logs(job_id))
            told = [service.http.get(f"/jobs/{job_id}{of}").text for of in ("", "/events", "/logs", "/checkpoints")]
            assert CANARY not in "".join(told)
            assert found_in_tables(up.home / "tunery.db") == []
            assert found_in_processes(up) == []
            service.http.delete("/hub-token").raise_for_status()
            again = service.http.post("/jobs", json=spec)
            assert again.json()["error"]["code"] == "model_gated", "what is in the cache is not given without the token"
            assert up.stop() == 0
            assert found_in(tmp_path) == [], "the service's log lies there, too"
            assert_all_is_well(up.home)
        finally:
            up.clean_up()
