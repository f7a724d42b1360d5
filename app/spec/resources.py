"""What a job runs on."""

from typing import Annotated, Final

from pydantic import Field, StrictBool, ValidationInfo, field_validator

from app.spec.base import Contract

MAX_PROCESSES: Final = 64


class ResourcesSpec(Contract):
    """Speed and memory, not the result: the examples of a step are those of ``training`` whatever is asked for here."""

    processes: Annotated[int, Field(ge=1, le=MAX_PROCESSES, strict=True)] = 1
    """Processes of one machine that share each micro-batch, each on a GPU of its own; without GPUs they share the processors."""
    fsdp: StrictBool = False
    """Each process holds its part of weights, gradients and optimizer, for a model that is too large for one of them."""

    @field_validator("fsdp")
    @classmethod
    def _has_whom_to_share_with(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        if value and info.data.get("processes") == 1:
            raise ValueError("weights are divided between processes: ask for resources.processes of 2 at least")
        return value
