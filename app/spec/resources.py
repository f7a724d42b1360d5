"""What a job runs on."""

from typing import Annotated, Final

from pydantic import Field

from app.spec.base import Contract

MAX_PROCESSES: Final = 64


class ResourcesSpec(Contract):
    """Speed, not the result: the examples of a step are those of ``training`` whatever is asked for here."""

    processes: Annotated[int, Field(ge=1, le=MAX_PROCESSES, strict=True)] = 1
    """Processes of one machine that share each micro-batch, each on a GPU of its own; without GPUs they share the processors."""
