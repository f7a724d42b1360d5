"""Row B1: a process is killed at each named place between two durable effects, and the job ends as if nothing had been."""

import io
import re
import time
import uuid
import zipfile
from pathlib import Path

import pytest

from app.failpoints import FAILPOINTS, OF_DELETIONS, OF_FILES, OF_STORES, OF_STUDIES
from tests.faults.conftest import IMPATIENT, QUICK_FAILPOINTS, TRAINING, running
from tests.road.tiny import reviews

pytestmark = pytest.mark.xdist_group("faults")

ROOT = Path(__file__).parents[2]
QUICK = set(QUICK_FAILPOINTS) - {"job.inserted"}
"""That of the API has a row of its own: P9."""


def job_ids(service) -> set[str]:
    return {job["id"] for job in service.again("GET", "/jobs").json()["data"]}


def test_each_failpoint_stands_in_one_place():
    sources = [path.read_text() for package in ("app", "worker") for path in (ROOT / package).rglob("*.py")]
    reached = [name for text in sources for name in re.findall(r"failpoints\.reach\(\"([\w.]+)\"\)", text)]
    assert sorted(reached) == sorted([*FAILPOINTS, *OF_DELETIONS, *OF_FILES, *OF_STORES, *OF_STUDIES])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.faults) for name in FAILPOINTS]
)
def test_a_process_that_is_killed_there_costs_nothing(name, armed, undisturbed, matrix):
    """Folders are sealed by the API and by trainers; here it is a trainer that dies at it."""
    expected = undisturbed()
    with armed(name) as at:
        service, before = at.service, job_ids(at.service)
        if name.startswith("folder."):
            rows = service.upload(reviews(120, seed=1))
            mark = at.arm(name)
        else:
            mark = at.arm(name)
            rows = service.upload(reviews(120, seed=1))
        job = service.wait(service.submit(model="tiny-bert", dataset={"train": rows}, training=TRAINING))
        assert mark.exists(), "nothing came there"
        took = time.time() - mark.stat().st_mtime
        assert job["status"] == "succeeded", job["error"]
        assert job["model"]["weights_sha256"] == expected
        assert job_ids(service) - before == {job["id"]}
    matrix(
        "B1", f"kill -9 at `{name}`: {FAILPOINTS[name]}", promise="one job, the same weights",
        measured=f"{job['attempt']} attempts, over {took:.1f} s later",
    )  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize("name", [name for name in FAILPOINTS if name.startswith("folder.")])
def test_an_upload_whose_api_is_killed_there_can_be_sent_again(name, tmp_path, encoder, matrix):
    armed = tmp_path / "armed"
    with running(tmp_path / "home", encoder, TUNERY_FAILPOINT=f"{name}@{armed / name}", **IMPATIENT) as service:
        armed.mkdir()
        file_id = service.upload(reviews(120, seed=1))
        assert (armed / name).exists(), "nothing came there"
        assert [file["id"] for file in service.http.get("/files").json()["data"]] == [file_id]
    matrix(
        "B1", f"kill -9 of the API at `{name}` of an upload", promise="sent again, it is there once", measured="it is"
    )


@pytest.mark.faults
@pytest.mark.parametrize("name", [name for name in OF_FILES if not name.startswith("export.")])
def test_a_file_is_predicted_once_whoever_is_killed_there(name, tmp_path, encoder, matrix):
    armed = tmp_path / "armed"
    with running(tmp_path / "home", encoder, TUNERY_FAILPOINT=f"{name}@{armed / name}", **IMPATIENT) as service:
        model = service.wait(service.train())["id"]
        rows = service.upload(reviews(6000, seed=2))  # two portions

        def predicted() -> tuple[dict, bytes]:
            answer = service.again("POST", "/predict/batch", json={"model": model, "file": rows})
            assert answer.status_code == 201, answer.text
            job = service.wait(answer.json()["id"])
            assert job["status"] == "succeeded", job["error"]
            [result] = job["result_files"]
            return job, service.again("GET", f"/files/{result}/content").content

        _, expected = predicted()
        armed.mkdir()
        job, content = predicted()
        assert (armed / name).exists(), "nothing came there"
        took = time.time() - (armed / name).stat().st_mtime
        assert content == expected
    matrix(
        "B1", f"kill -9 at `{name}`: {OF_FILES[name]}", promise="one file, the same bytes",
        measured=f"{job['attempt']} attempts, over {took:.1f} s later",
    )  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize("name", [name for name in OF_FILES if name.startswith("export.")])
def test_a_model_is_exported_once_whoever_is_killed_there(name, tmp_path, encoder, matrix):
    armed = tmp_path / "armed"
    with running(tmp_path / "home", encoder, TUNERY_FAILPOINT=f"{name}@{armed / name}", **IMPATIENT) as service:
        model = service.wait(service.train())["model"]["id"]

        def exported() -> tuple[dict, dict[str, int]]:
            answer = service.again("POST", f"/models/{model}/export", json={"format": "onnx"})
            assert answer.status_code == 201, answer.text
            job = service.wait(answer.json()["id"])
            assert job["status"] == "succeeded", job["error"]
            [result] = job["result_files"]
            content = service.again("GET", f"/files/{result}/content").content
            return job, {member.filename: member.CRC for member in zipfile.ZipFile(io.BytesIO(content)).infolist()}

        _, expected = exported()
        armed.mkdir()
        job, members = exported()
        assert (armed / name).exists(), "nothing came there"
        took = time.time() - (armed / name).stat().st_mtime
        assert members["model.onnx"] == expected["model.onnx"]
        assert members.keys() == expected.keys()
    matrix(
        "B1", f"kill -9 at `{name}`: {OF_FILES[name]}", promise="one archive, the same network",
        measured=f"{job['attempt']} attempts, over {took:.1f} s later",
    )  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize("name", OF_STUDIES)
def test_a_sweep_has_each_trial_once_whoever_is_killed_there(name, tmp_path, encoder, matrix):
    armed = tmp_path / "armed"
    with running(tmp_path / "home", encoder, TUNERY_FAILPOINT=f"{name}@{armed / name}", **IMPATIENT) as service:
        job = {
            "model": "tiny-bert", "dataset": {"train": service.upload(reviews(120, seed=1))}, "training": TRAINING,
        }  # fmt: skip
        sweep = {
            "job": job, "space": {"training.learning_rate": {"choices": [1e-3, 1e-4]}}, "sampler": {"type": "grid"},
        }  # fmt: skip
        armed.mkdir()
        answer = service.again("POST", "/sweeps", json=sweep, headers={"Idempotency-Key": uuid.uuid4().hex})
        assert answer.status_code == 201, answer.text
        ended = service.wait_at(
            f"/sweeps/{answer.json()['id']}", lambda one: one["status"] not in {"queued", "running"}
        )
        assert (armed / name).exists(), "nothing came there"
        took = time.time() - (armed / name).stat().st_mtime
        assert ended["status"] == "succeeded", ended
        trials = service.again("GET", f"/sweeps/{ended['id']}/trials").json()["data"]
        assert sorted(trial["params"]["training.learning_rate"] for trial in trials) == [1e-4, 1e-3]
        assert {trial["job_id"] for trial in trials} == job_ids(service)
        assert len(service.again("GET", "/sweeps").json()["data"]) == 1
    matrix(
        "B1", f"kill -9 at `{name}`: {OF_STUDIES[name]}", promise="one sweep, each trial once",
        measured=f"all done {took:.1f} s later",
    )  # fmt: skip
