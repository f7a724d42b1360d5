"""What a worker tells of its hardware, on machines that have other hardware than this one."""

import pytest

from app.db import now, reading
from app.job.hardware import Takes, present_workers
from app.job.models import WorkerPresence
from worker import inventory, presence, tasks
from worker.inventory import Gpu, list_gpus

UUIDS = ["GPU-aaaa-1", "GPU-bbbb-2"]


@pytest.fixture
def nvidia(tmp_path, monkeypatch):
    """A machine with two GPUs: NVIDIA's program, which is asked as it really is."""

    def install(answer):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{answer}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    install('printf "GPU-aaaa-1, 0, NVIDIA H100 80GB HBM3, 81559\\nGPU-bbbb-2, 1, NVIDIA L4, [N/A]\\n"')
    return install


@pytest.fixture
def fresh():
    inventory.inventory.cache_clear()
    tasks._devices.cache_clear()
    yield
    inventory.inventory.cache_clear()
    tasks._devices.cache_clear()


@pytest.mark.parametrize("names", ["0,1", "GPU-aaaa,GPU-bbbb"])
def test_gpus_are_described_by_number_or_by_the_beginning_of_their_id(nvidia, names):
    first, second = names.split(",")
    assert list_gpus({"CUDA_VISIBLE_DEVICES": names}) == [
        Gpu(id=first, name="NVIDIA H100 80GB HBM3", memory_bytes=81559 * 2**20),
        Gpu(id=second, name="NVIDIA L4", memory_bytes=None),
    ]
    assert list_gpus({"CUDA_VISIBLE_DEVICES": "MIG-cccc"}) == [Gpu(id="MIG-cccc")]


@pytest.mark.parametrize("answer", ["exit 9", "echo nonsense"])
def test_a_gpu_that_nobody_describes_is_there_all_the_same(nvidia, answer):
    nvidia(answer)
    assert list_gpus({"CUDA_VISIBLE_DEVICES": "0"}) == [Gpu(id="0")]


def test_a_worker_announces_what_it_has(database, nvidia, fresh, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    presence.announce()
    with reading() as session:
        [row] = present_workers(session, now=now(session))
        assert (row.id, row.takes, row.slots) == (presence.WORKER_ID, Takes.ANY, 1)
        assert row.cpus >= 1
        assert row.memory_bytes > 2**28
        assert row.gpus == [
            {"name": "NVIDIA H100 80GB HBM3", "memory_bytes": 81559 * 2**20},
            {"name": "NVIDIA L4", "memory_bytes": None},
        ]
    assert tasks._devices().total == 2


def test_a_worker_that_is_kept_from_gpus_has_none(sqlite_home, fresh, monkeypatch):
    from app.config import get_settings

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("TUNERY_WORKER_TAKES", "cpu")
    get_settings.cache_clear()
    presence.announce()
    with reading() as session:
        row = session.get_one(WorkerPresence, presence.WORKER_ID)
        assert (row.takes, row.gpus) == ("cpu", [])
    assert tasks._devices().total == 0
