"""GPUs are lent to one job at a time, all that it asks for or none; here without a GPU."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import worker.devices
from app.db import transaction
from app.job import lifecycle, service
from tests.job.conftest import insert_job
from tests.job.test_lifecycle import load
from worker import tasks
from worker.devices import Devices, visible_gpus

GPUS = ["GPU-a", "GPU-b", "GPU-c"]
SPEC = {"model": "tiny", "dataset": {"train": "file-" + "0" * 32}}

HOLDER = """
import sys
from pathlib import Path
from worker.devices import Devices
with Devices(["GPU-a", "GPU-b", "GPU-c"], folder=Path(sys.argv[1])).free() as lent:
    lent.give_back(keep=2)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("listed", "names"),
    [("0,1", ["0", "1"]), ("GPU-a, GPU-b", ["GPU-a", "GPU-b"]), ("", []), ("-1", []), ("2,-1,3", ["2"])],
)
def test_the_variable_of_cuda_says_which_there_are(listed, names, tmp_path):
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": listed}, driver=tmp_path) == names


def test_without_it_the_driver_does(tmp_path):
    for bus, name in [("0000:02:00.0", "GPU-2"), ("0000:01:00.0", "GPU-1")]:
        (tmp_path / bus).mkdir()
        (tmp_path / bus / "information").write_text(f"Model: \t H100\nGPU UUID: \t {name}\nDevice Minor: \t 0\n")
    assert visible_gpus({}, driver=tmp_path) == ["GPU-1", "GPU-2"]
    assert visible_gpus({}, driver=tmp_path / "none") == []


def test_what_one_holds_no_other_gets_until_it_is_given_back(tmp_path):
    first, second = (Devices(GPUS, folder=tmp_path) for _ in range(2))
    with first.free() as held:
        assert held.names == GPUS
        held.give_back(keep=2)
    with second.free() as rest:
        assert rest.names == ["GPU-c"]
        rest.give_back()
    held.give_back()
    with second.free() as all_of_them:
        assert all_of_them.names == GPUS


def test_a_claim_that_fails_holds_nothing(tmp_path):
    devices = Devices(GPUS, folder=tmp_path)
    with pytest.raises(ZeroDivisionError), devices.free():
        raise ZeroDivisionError
    with devices.free() as lent:
        assert lent.names == GPUS


def test_two_that_choose_at_once_take_turns(tmp_path):
    """Each looks at all free ones and keeps one: nobody finds none because another is just looking."""
    kept: list[str] = []

    def choose() -> None:
        with Devices(GPUS, folder=tmp_path).free() as lent:
            lent.give_back(keep=1)
            kept.extend(lent.names)

    threads = [threading.Thread(target=choose) for _ in GPUS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kept) == GPUS


def test_one_that_was_halted_while_it_chose_does_not_halt_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(worker.devices, "LONGEST_TURN_SECONDS", 0.2)
    with Devices(GPUS, folder=tmp_path).free() as lent:
        lent.give_back(keep=1)
        with Devices(GPUS, folder=tmp_path).free() as rest:
            assert rest.names == ["GPU-b", "GPU-c"]


def test_the_death_of_a_worker_gives_back_what_it_held(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], env=os.environ,
    )  # fmt: skip
    with holder:
        assert holder.stdout.readline() == b"held\n"
        devices = Devices(GPUS, folder=tmp_path)
        with devices.free() as lent:
            assert lent.names == ["GPU-c"]
            lent.give_back()
        holder.kill()
    with devices.free() as lent:
        assert lent.names == GPUS


def asking_for(processes):
    return insert_job(spec=SPEC | {"resources": {"processes": processes}})


@pytest.fixture
def two_gpus(database, tmp_path, monkeypatch):
    """A worker that has two of them."""
    devices = Devices(["GPU-a", "GPU-b"], folder=tmp_path)
    monkeypatch.setattr(tasks, "_told", set())
    return lambda: tasks._claim(devices)


def test_a_job_gets_all_its_gpus_or_is_not_claimed(two_gpus):
    small, large, of_an_older_version = asking_for(1), asking_for(2), insert_job(spec=SPEC)
    first, held = two_gpus()
    assert (first.claim.job_id, held.names) == (small, ["GPU-a"])
    second, also_held = two_gpus()
    assert (second.claim.job_id, also_held.names) == (of_an_older_version, ["GPU-b"]), "another fits meanwhile"
    assert two_gpus()[0] is None
    held.give_back()
    assert two_gpus()[0] is None, "one GPU is not enough for two processes"
    also_held.give_back()
    third, both = two_gpus()
    assert (third.claim.job_id, both.names) == (large, ["GPU-a", "GPU-b"])


def test_a_job_that_a_worker_can_never_run_is_told_so_once(two_gpus):
    job = asking_for(4)
    assert [two_gpus()[0] for _ in range(3)] == [None, None, None]
    said = [event.message for event in service.list_events(job, after=None, limit=10).data]
    assert len(said) == 2
    assert "asks for 4 processes" in said[1]
    assert "has 2" in said[1]
    assert load(job).status == "queued"


def test_without_gpus_any_number_of_processes_is_claimed(database):
    job = asking_for(8)
    with transaction() as session:
        assert lifecycle.claim_next(session, worker_id="worker-a").claim.job_id == job
