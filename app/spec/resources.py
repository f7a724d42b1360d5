"""What a job runs on."""

from typing import Annotated, Final

from pydantic import Field, StrictBool, ValidationInfo, field_validator

from app.spec.base import Contract

MAX_PROCESSES: Final = 64
MAX_NODES: Final = 64


class ResourcesSpec(Contract):
    """Speed and memory, not the result: the examples of a step are those of ``training`` whatever is asked for here."""

    processes: Annotated[int, Field(ge=1, le=MAX_PROCESSES, strict=True)] = 1
    """Processes on each node that share each micro-batch, each on a GPU of its own; without GPUs they share the processors."""
    nodes: Annotated[int, Field(ge=1, le=MAX_NODES, strict=True)] = 1
    """Workers that run the job together, each with so many processes: several machines, or several workers of one."""
    fsdp: StrictBool = False
    """Each process holds its part of weights, gradients and optimizer, for a model that is too large for one of them."""

    @property
    def all_processes(self) -> int:
        return self.processes * self.nodes

    @field_validator("fsdp")
    @classmethod
    def _has_whom_to_share_with(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        if value and info.data.get("processes") == info.data.get("nodes") == 1:
            raise ValueError("weights are divided between processes: ask for resources.processes of 2 at least")
        return value
