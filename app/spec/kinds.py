"""The kinds of jobs, and what each is told to do."""

from enum import StrEnum
from typing import Any, Final

from app.spec.export import ExportSpec
from app.spec.job import JobSpec
from app.spec.prediction import PredictionSpec

AnySpec = JobSpec | PredictionSpec | ExportSpec


class JobKind(StrEnum):
    TRAINING = "training"
    """Fine-tunes a model."""
    PREDICTION = "prediction"
    """Asks a finished model about every row of a file."""
    EXPORT = "export"
    """Writes a finished model down in another format."""


SPECS: Final[dict[JobKind, type[AnySpec]]] = {
    JobKind.TRAINING: JobSpec,
    JobKind.PREDICTION: PredictionSpec,
    JobKind.EXPORT: ExportSpec,
}


def read_spec(kind: str, sent: Any) -> AnySpec:
    """The spec of a job of that kind, as somebody sends it. Raises pydantic's ValidationError, also for names it does not know."""
    return SPECS[JobKind(kind)].model_validate(sent)


def stored_spec(kind: str, stored: Any) -> AnySpec:
    """The same of a job that was accepted, perhaps by a newer version, whose further fields are left out.

    They are at their defaults wherever this version may run the job (``app.spec.version``). Raises pydantic's ValidationError.
    """
    return SPECS[JobKind(kind)].model_validate(stored, extra="ignore")
