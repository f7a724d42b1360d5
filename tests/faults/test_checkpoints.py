"""Rows K1 to K3: trainers die while they write checkpoints, checkpoints are damaged, and disks are full."""

import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest

from app.manifest import MANIFEST, TEMPORARY_PREFIX
from tests.faults.conftest import IMPATIENT, LONG, TRAINING, running
from tests.faults.test_processes import trainers

KILLS = 20
LONGER = LONG | {"num_train_epochs": 160}
"""2,240 steps: a fast machine makes 215 a second, and what is done to the job is done between two of them."""
EVERY_STEP = LONG | {"num_train_epochs": 100, "save_steps": 1}
UNLIMITED = {"TUNERY_MAX_CRASHES": "1000", "TUNERY_RETRY_BACKOFF_SECONDS": "0"}


def being_written(service) -> list[str]:
    """Names of files and folders; those that go meanwhile are passed over."""
    found = os.walk(service.up.home / "jobs")
    return [name for _, folders, files in found for name in folders + files if name.startswith(TEMPORARY_PREFIX)]


@pytest.mark.faults
def test_a_trainer_that_dies_while_it_writes_a_checkpoint_loses_nothing_before_it(
    tmp_path, encoder, undisturbed, matrix
):
    expected = undisturbed(training=EVERY_STEP)
    choose = random.Random(7)
    killed = 0
    with running(tmp_path / "home", encoder, **IMPATIENT, **UNLIMITED) as service:
        job_id = service.train(training=EVERY_STEP)
        while killed < KILLS and service.job(job_id)["finished_at"] is None:
            attempt = killed + 1
            service.wait_for(
                job_id,
                lambda job, n=attempt: (
                    job["finished_at"] or (job["attempt"] == n and job["phase"] in {"training", "saving"})
                ),
            )
            deadline = time.monotonic() + 20
            while not being_written(service) and time.monotonic() < deadline:
                pass
            time.sleep(choose.random() * 0.01)
            alive = trainers(service)
            if alive:
                os.kill(alive[0], signal.SIGKILL)
                killed += 1
        job = service.wait(job_id)
        assert job["status"] == "succeeded", job["error"]
        assert (killed, job["attempt"]) == (KILLS, KILLS + 1)
        assert job["model"]["weights_sha256"] == expected
        assert being_written(service) == [], "what was half-written is collected"
    matrix(
        "K1", f"the trainer is killed at {killed} random points of writing a checkpoint",
        promise="goes on from the one before, nothing half-written is left", measured="the same weights, nothing left",
    )  # fmt: skip


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def zero_fill(path):
    content = path.read_bytes()
    start = len(content) // 2
    path.write_bytes(content[:start] + bytes(len(content[start : start + 4096])) + content[start + 4096 :])


DAMAGES = {
    "one bit flipped": flip,
    "cut short": truncate,
    "4 KiB of zeros": zero_fill,
    "deleted": lambda path: path.unlink(),
}


@pytest.mark.faults
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_found_and_an_older_one_is_used(damage, tmp_path, encoder, undisturbed, matrix):
    """Then all are damaged, and it begins again."""
    expected = undisturbed(training=LONGER)
    with running(tmp_path / "home", encoder, **IMPATIENT) as service:
        job_id = service.train(training=LONGER)
        began = []
        for number, name in ((1, "optimizer.safetensors"), (2, "model.safetensors")):
            service.wait_for_step(job_id, 120 * number)
            assert service.http.post(f"/jobs/{job_id}/pause").status_code == 200
            service.wait_for(job_id, lambda job: job["status"] == "paused")
            saved = [
                c for c in service.http.get(f"/jobs/{job_id}/checkpoints").json()["data"] if c["state"] == "committed"
            ]
            victims = saved[:1] if number == 1 else saved
            folders = sorted((service.up.home / "jobs" / job_id).rglob(MANIFEST))
            for folder in (path.parent for path in folders):
                if any(folder.name == f"step-{c['step']:08d}" for c in victims) and (folder / name).exists():
                    DAMAGES[damage](folder / name)
            service.http.post(f"/jobs/{job_id}/resume")
            service.wait_for(job_id, lambda job: job["phase"] == "training" or job["finished_at"])
            began.append((saved, victims))
        job = service.wait(job_id)
        assert job["status"] == "succeeded", job["error"]
        assert job["model"]["weights_sha256"] == expected
        assert "checkpoint_corrupt" in service.codes(job_id)
        starts = [event["data"]["resumed_from_step"] for event in service.events(job_id)
                  if "resumed_from_step" in (event["data"] or {})]  # fmt: skip
        (first_saved, _), _ = began
        assert 0 < starts[1] < first_saved[0]["step"], "the newest was damaged, an older one was not"
        assert starts[2] == 0, "all were damaged"
    matrix(
        "K2", f"checkpoints: {damage}, in the newest, then in all", promise="an older one is used; none left: step 0, with an event",
        measured=f"went on from step {starts[1]} of {first_saved[0]['step']}, then from {starts[2]}; the same weights",
    )  # fmt: skip


@contextmanager
def small_disk(folder, *, megabytes: int):
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], capture_output=True, check=False
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip("a disk of its own cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk):
    """All of it, but for less than a page."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        size = 2**20
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    return ballast


@pytest.mark.faults
def test_a_checkpoint_that_does_not_fit_waits_for_room(tmp_path, encoder, undisturbed, matrix):
    expected = undisturbed(training=LONG)
    with (
        small_disk(tmp_path / "home/jobs", megabytes=32) as disk,
        running(tmp_path / "home", encoder, TUNERY_MIN_FREE_BYTES="0", **IMPATIENT) as service,
    ):
        job_id = service.train(training=LONG)
        service.wait_for_step(job_id, 60)
        ballast = fill(disk)
        service.wait_for(job_id, lambda job: "disk_full" in {warning["code"] for warning in job["warnings"]})
        intact = [
            c for c in service.http.get(f"/jobs/{job_id}/checkpoints").json()["data"] if c["state"] == "committed"
        ]
        assert intact
        ballast.unlink()
        job = service.wait(job_id)
        assert (job["status"], job["attempt"]) == ("succeeded", 1), job["error"]
        assert job["model"]["weights_sha256"] == expected
    matrix(
        "K3", "the disk is full at a checkpoint, and has room again some seconds later", promise="older ones intact, tried again",
        measured="no attempt charged, the same weights",
    )  # fmt: skip


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("moment", ["at a checkpoint", "at the final model"])
def test_on_a_disk_that_stays_full_the_job_fails_and_never_succeeds(moment, tmp_path, encoder, matrix):
    only_at_the_end = {"save_strategy": "no", "eval_strategy": "no", "num_train_epochs": 80}
    training = LONG | (only_at_the_end if moment == "at the final model" else {})
    with (
        small_disk(tmp_path / "home/jobs", megabytes=32) as disk,
        running(
            tmp_path / "home", encoder, TUNERY_MIN_FREE_BYTES="0", TUNERY_RETRY_BACKOFF_SECONDS="1", **IMPATIENT
        ) as service,
    ):
        job_id = service.train(training=training)
        service.wait_for_step(job_id, 60)
        fill(disk)
        job = service.wait(job_id, seconds=400)
        assert (job["status"], job["error"]["code"]) == ("failed", "disk_full"), job["error"]
        assert shutil.disk_usage(disk).free < 2**20
    matrix(
        "K3", f"the disk is full {moment}, for good", promise="tried again, then `disk_full`; never succeeded",
        measured=f"`disk_full` after {job['attempt']} attempts",
    )  # fmt: skip


@pytest.mark.faults
def test_a_job_waits_in_the_queue_while_the_disk_is_nearly_full(tmp_path, encoder, matrix):
    with (
        small_disk(tmp_path / "home/jobs", megabytes=32) as disk,
        running(tmp_path / "home", encoder, TUNERY_MIN_FREE_BYTES=str(2**20), **IMPATIENT) as service,
    ):
        ballast = fill(disk)
        job_id = service.train(training=TRAINING)
        time.sleep(5)
        assert service.job(job_id)["status"] == "queued"
        ballast.unlink()
        assert service.wait(job_id)["status"] == "succeeded"
    matrix(
        "K3", "a job is submitted while the disk is nearly full", promise="it waits", measured="it ran when there was room",
    )  # fmt: skip
