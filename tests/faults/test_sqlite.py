"""Rows D3 and D4: SQLite under many processes, on a full disk, and read-only."""

import os
import random
import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from tests.faults.claimants import claimants
from tests.faults.conftest import IMPATIENT, running
from tests.faults.parts import api_alone
from tests.faults.test_broker import ONE_STEP
from tests.road.tiny import reviews

SUBMITTERS, OPERATIONS = 8, 1000
DISK_BYTES = 48 * 2**20


@pytest.mark.faults
def test_no_lock_error_reaches_a_client_of_an_api_among_four_workers(tmp_path, encoder, matrix):
    """Workers claim, write metrics and events, renew leases and end jobs, meanwhile eight clients submit, read and cancel."""
    home = tmp_path / "home"
    with api_alone(home, encoder, TUNERY_SWEEP_SECONDS="0.5") as service:
        rows = service.upload(reviews(40, seed=1))
        spec = {"model": "tiny-bert", "dataset": {"train": rows}, "training": ONE_STEP}

        def operate(seed: int) -> list[tuple[str, int, float]]:
            choose = random.Random(seed)
            done, own = [], []
            with httpx2.Client(base_url=service.http.base_url, timeout=60) as http:
                for _ in range(OPERATIONS // SUBMITTERS):
                    what = choose.choices(["submit", "read", "metrics", "list", "cancel"], [5, 2, 1, 1, 2])[0]
                    about = choose.choice(own) if own else None
                    begun = time.monotonic()
                    if what == "submit" or about is None:
                        what = "submit"
                        answer = http.post("/jobs", json=spec)
                        own.append(answer.json().get("id"))
                    elif what == "cancel":
                        answer = http.post(f"/jobs/{about}/cancel")
                    else:
                        path = {"read": f"/jobs/{about}", "metrics": f"/jobs/{about}/metrics", "list": "/jobs"}[what]
                        answer = http.get(path)
                    done.append((what, answer.status_code, time.monotonic() - begun))
            return done

        with claimants("work", count=4, TUNERY_HOME=str(home)) as workers:
            workers.begin()
            with ThreadPoolExecutor(SUBMITTERS) as pool:
                operations = [done for batch in pool.map(operate, range(SUBMITTERS)) for done in batch]
            submitted = sum(what == "submit" for what, _, _ in operations)
            deadline = time.monotonic() + 120
            while service.http.get("/jobs", params={"status": "queued"}).json()["data"]:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            results = workers.results()
        assert len(operations) == OPERATIONS
        assert [result["errors"] for result in results] == [[]] * 4
        answers = Counter((what, status) for what, status, _ in operations)
        assert set(answers) <= {("submit", 201), ("read", 200), ("metrics", 200), ("list", 200),
                                ("cancel", 200), ("cancel", 409)}  # fmt: skip
        claimed = [job_id for result in results for job_id in result["claimed"]]
        assert len(claimed) == len(set(claimed))
        assert "database is locked" not in service.parts.log()
    slowest = max(seconds for _, _, seconds in operations)
    matrix(
        "D3", f"SQLite: the API, 4 workers, {SUBMITTERS} clients, {OPERATIONS} operations", promise="no lock error reaches a client",
        measured=f"none; {submitted} submitted, {len(claimed)} claimed, each once; slowest answer {slowest:.2f} s",
    )  # fmt: skip


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own for a home."""
    folder = tmp_path / "home"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tunery-test", str(folder)]
    mounted = shutil.which("mount") and subprocess.run(command, capture_output=True, text=True, check=False)
    if not mounted or mounted.returncode != 0:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.strip() if mounted else 'no mount'}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Until not a byte is free."""
    with path.open("wb", buffering=0) as file:
        for block in (2**16, 1):
            try:
                while True:
                    file.write(b"x" * block)
            except OSError:
                continue


def integrity(database: Path) -> str:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone()[0]


@pytest.mark.faults
def test_a_full_disk_is_told_and_nothing_is_lost(small_disk, encoder, matrix):
    with running(small_disk, encoder, TUNERY_MIN_FREE_BYTES=str(4 * 2**20), **IMPATIENT) as service:
        rows = service.upload(reviews(40, seed=1))
        spec = {"model": "tiny-bert", "dataset": {"train": rows}, "training": ONE_STEP}
        accepted = [service.submit(**spec)]
        service.wait(accepted[0])
        fill(small_disk / "filler")
        refused = None
        while refused is None and len(accepted) < 2000:  # what SQLite has reserved is filled first
            answer = service.http.post("/jobs", json=spec)
            if answer.status_code == 201:
                accepted.append(answer.json()["id"])
            else:
                refused = answer
        assert refused is not None
        assert (refused.status_code, refused.json()["error"]["code"]) == (507, "out_of_space"), refused.text
        assert "disk" in refused.json()["detail"]
        upload = service.http.post("/files", files={"file": ("data.jsonl", b'{"text": "a", "label": "b"}\n' * 50)})
        assert upload.status_code == 507, upload.text
        for path in (
            "/jobs",
            f"/jobs/{accepted[-1]}",
            f"/jobs/{accepted[0]}/metrics",
            f"/files/{rows}",
            "/health/live",
        ):
            assert service.http.get(path).status_code == 200, path
        (small_disk / "filler").unlink()
        assert integrity(small_disk / "tunery.db") == "ok"
        accepted.append(service.submit(**spec))
        for job_id in accepted:
            job = service.wait(job_id, seconds=200)
            assert job["status"] == "succeeded", job["error"]
        assert len(service.http.get("/jobs", params={"limit": 100}).json()["data"]) == len(accepted)
    matrix(
        "D4", "the disk under SQLite is full", promise="507 with a clear message, reads go on, `integrity_check` ok",
        measured=f"507 `out_of_space`; reads answered; ok; {len(accepted)} of {len(accepted)} accepted jobs ran",
    )  # fmt: skip


def obeying_modes() -> list[str]:
    """A program, and its options, behind which a file's mode means something to root as well."""
    if os.geteuid() != 0:
        return []
    program = shutil.which("setpriv")
    if program is None:
        pytest.skip("root may write to read-only files, and there is no setpriv to prevent it")
    return [program, "--bounding-set=-dac_override", "--inh-caps=-dac_override"]


@pytest.mark.faults
def test_a_read_only_database_is_told_and_can_be_read(tmp_path, encoder, matrix):
    home = tmp_path / "home"
    database = home / "tunery.db"
    with api_alone(home, encoder) as service:
        rows = service.upload(reviews(40, seed=1))
        spec = {"model": "tiny-bert", "dataset": {"train": rows}, "training": ONE_STEP}
        job_id = service.submit(**spec)
        service.stop()
        database.chmod(0o400)
        service.start(behind=obeying_modes())
        answer = service.http.post("/jobs", json=spec)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable"), answer.text
        assert "read-only" in answer.json()["detail"]
        assert int(answer.headers["retry-after"]) > 0
        assert service.http.get(f"/jobs/{job_id}").json()["status"] == "queued"
        assert service.http.post(f"/jobs/{job_id}/cancel").status_code == 503
        service.stop()
        database.chmod(0o600)
        service.start()
        assert service.http.post(f"/jobs/{job_id}/cancel").json()["status"] == "cancelled"
        assert integrity(database) == "ok"
    matrix(
        "D4", "SQLite's file is read-only", promise="503 with a clear message, reads go on, `integrity_check` ok",
        measured='503, "it is read-only"; reads answered; ok',
    )  # fmt: skip
