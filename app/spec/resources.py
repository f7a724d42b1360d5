"""What a job runs on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

from pydantic import Field, StrictBool, ValidationInfo, field_validator, model_validator

from app.spec.base import Contract

MAX_PROCESSES: Final = 64
MAX_NODES: Final = 64
_UNITS: Final = {
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_SIZE: Final = re.compile(r"(\d{1,6}(?:\.\d{1,6})?) ?([KMGT]i?B)", re.ASCII | re.IGNORECASE)


class ResourcesSpec(Contract):
    """Speed and memory, not the result: the examples of a step are those of ``training`` whatever is asked for here."""

    gpus: Annotated[int, Field(ge=0, le=MAX_PROCESSES, strict=True)] | None = None
    """GPUs on each node, one for each of ``processes``: only workers that have them take the job. 0: none, wherever it runs.
    Left out: one for each process on a worker that has GPUs, else the processors."""
    gpu_memory: Annotated[int, Field(ge=1, le=2**50, strict=True)] | None = None
    """Bytes that each GPU has at least, or a text such as ``24GB`` or ``80GiB``: only workers with such GPUs take the job."""
    processes: Annotated[int, Field(ge=1, le=MAX_PROCESSES, strict=True)] = 1
    """Processes on each node that share each micro-batch, each on a GPU of its own; without GPUs they share the processors.
    As many as ``gpus`` where only that is given."""
    nodes: Annotated[int, Field(ge=1, le=MAX_NODES, strict=True)] = 1
    """Workers that run the job together, each with so many processes: several machines, or several workers of one."""
    fsdp: StrictBool = False
    """Each process holds its part of weights, gradients and optimizer, for a model that is too large for one of them."""

    @property
    def all_processes(self) -> int:
        return self.processes * self.nodes

    @model_validator(mode="before")
    @classmethod
    def _a_process_for_each_gpu(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "processes" in given:
            return given
        gpus = given.get("gpus")
        return given | {"processes": gpus} if type(gpus) is int and gpus > 1 else given

    @field_validator("gpu_memory", mode="before")
    @classmethod
    def _in_bytes(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        size = _SIZE.fullmatch(value.strip())
        if size is None:
            raise ValueError("a size is a number of bytes, or a text such as 24GB or 80GiB")
        return int(float(size[1]) * _UNITS[size[2].upper()])

    @field_validator("processes")
    @classmethod
    def _each_has_a_gpu(cls, value: int, info: ValidationInfo) -> int:
        gpus = info.data.get("gpus")
        if gpus not in {None, 0, value}:
            raise ValueError(f"each process has a GPU of its own: with {gpus} GPUs, leave it out or set it to {gpus}")
        return value

    @field_validator("gpu_memory")
    @classmethod
    def _has_gpus_to_have_it(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("gpus") == 0:
            raise ValueError("a job without GPUs has no memory of them")
        return value

    @field_validator("fsdp")
    @classmethod
    def _has_whom_to_share_with(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        if value and info.data.get("processes") == info.data.get("nodes") == 1:
            raise ValueError("weights are divided between processes: ask for resources.processes of 2 at least")
        return value


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a job wants of each of its workers."""

    gpus: int
    """That it takes where there are any."""
    needs_gpus: bool
    """It does not run without."""
    gpu_memory_bytes: int
    """That each of them has at least."""
    nodes: int = 1

    @classmethod
    def by(cls, spec: Mapping[str, Any]) -> Self:
        """What a stored spec asks for; one of an older version, or of a job that does not train, leaves it open."""
        resources = spec.get("resources", {})
        gpus, memory = resources.get("gpus"), resources.get("gpu_memory") or 0
        processes = int(resources.get("processes", 1))
        return cls(
            gpus=processes if gpus is None else int(gpus),
            needs_gpus=bool(memory) or bool(gpus),
            gpu_memory_bytes=int(memory),
            nodes=int(resources.get("nodes", 1)),
        )

    def words(self) -> str:
        """What a worker that could run it has: ``2 GPUs of 24 GB``."""
        if not self.needs_gpus:
            return "room for a job that asks for no GPUs" if self.gpus <= 1 else f"{self.gpus} GPUs, or none at all"
        count = "a GPU" if self.gpus == 1 else f"{self.gpus} GPUs"
        return f"{count} of {self.gpu_memory_bytes / 1e9:.3g} GB" if self.gpu_memory_bytes else count
