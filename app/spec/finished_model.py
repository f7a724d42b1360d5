"""What jobs that work with a finished model are told, whatever they do with it."""

from typing import Annotated

from pydantic import Field, StrictInt, StringConstraints, field_validator

from app.spec.base import Metadata, Submission
from app.spec.job import LOWEST_PRIORITY, check_reference


class Order(Submission):
    """How a job is to be run, and what its owner notes of it: the same as of a job that trains."""

    priority: Annotated[StrictInt, Field(ge=LOWEST_PRIORITY, le=100)] = 0
    """Of the jobs that wait, those with the highest number run first; among equals the oldest."""
    max_runtime_seconds: Annotated[float, Field(gt=0, strict=True)] | None = None
    """The job fails once its attempts have run for longer together; waiting does not count."""
    metadata: Metadata = Field(default_factory=dict)


class FinishedModelSpec(Order):
    model: Annotated[str, StringConstraints(min_length=1, max_length=320)]
    """Id of a succeeded job (``ftjob-…``), of a finished model (``ft:…``) or of its checkpoint (``ft:…:ckpt-step-80``); in the
    job's ``spec`` the id of the model that was meant."""

    @field_validator("model")
    @classmethod
    def _is_id(cls, value: str) -> str:
        return check_reference(value)
