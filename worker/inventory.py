"""What hardware this worker has, found without torch: from the system, NVIDIA's driver, and ``nvidia-smi`` where it is there."""

import csv
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import structlog

from app import host
from app.config import get_settings
from app.job.hardware import Takes
from worker.devices import visible_gpus

log = structlog.get_logger(__name__)

_ASKING_SECONDS: Final = 20.0
"""A driver that has to wake its GPUs first takes seconds."""
_FIELDS: Final = "uuid,index,name,memory.total"


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One that trainers may use."""

    id: str
    """As ``CUDA_VISIBLE_DEVICES`` takes it."""
    name: str | None = None
    memory_bytes: int | None = None
    """None where it cannot be told, as of parts of a GPU."""

    def as_told(self) -> dict[str, Any]:
        return {"name": self.name, "memory_bytes": self.memory_bytes}


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """Of one worker."""

    cpus: int
    memory_bytes: int
    gpus: tuple[Gpu, ...]
    """Those that it lends to jobs; none for one that takes no jobs with GPUs."""


@lru_cache(maxsize=1)
def inventory() -> Inventory:
    """Taken once: hardware that comes or goes is seen by the next start."""
    gpus = () if Takes(get_settings().worker_takes) == Takes.CPU else tuple(list_gpus(os.environ))
    return Inventory(cpus=host.usable_cpus(), memory_bytes=host.memory_bytes(), gpus=gpus)


def list_gpus(environment: Mapping[str, str]) -> list[Gpu]:
    names = visible_gpus(environment)
    told = _ask_nvidia() if names else []
    return [_described(name, told) for name in names]


def _described(name: str, told: list[list[str]]) -> Gpu:
    """A GPU is named by its number or by the beginning of its UUID."""
    for uuid, index, model, mebibytes in told:
        if name == index or (name.startswith("GPU-") and uuid.startswith(name)):
            memory = int(mebibytes) * 2**20 if mebibytes.isdigit() else None
            return Gpu(id=name, name=model, memory_bytes=memory)
    return Gpu(id=name)


def _ask_nvidia() -> list[list[str]]:
    """UUID, number, model and MiB of each GPU; nothing where that cannot be asked."""
    program = shutil.which("nvidia-smi")
    if program is None:
        log.warning("the memory of the GPUs is unknown: there is no nvidia-smi")
        return []
    command = [program, f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_ASKING_SECONDS)  # noqa: S603 - NVIDIA's own
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("the memory of the GPUs is unknown: nvidia-smi failed", error=str(error))
        return []
    rows = csv.reader(answer.stdout.splitlines(), skipinitialspace=True)
    return [row for row in rows if len(row) == len(_FIELDS.split(","))]
