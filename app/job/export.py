"""``POST /models/{id}/export``: a job that writes a finished model down in another format."""

from typing import Final

from pydantic import ValidationError

from app.errors import InvalidRequest, NotFound
from app.job.acceptance import NewJob, Submitted, accept
from app.job.finished_model import meant
from app.spec.base import TaskName
from app.spec.export import ExportRequest, ExportSpec
from app.spec.kinds import JobKind

EXPORTED_TASKS: Final[frozenset[TaskName]] = frozenset(
    {"text-classification", "token-classification", "question-answering"}
)
"""Models whose answer is one forward. What generates is a program around the model, which a graph alone is not."""


def export(model: str, request: ExportRequest, *, idempotency_key: str | None = None) -> Submitted:
    """The stored job. Raises as ``submit`` does, and NotFound for what can be no model's id."""
    try:
        requested = ExportSpec(model=model, **request.model_dump(exclude_unset=True))
    except ValidationError as error:  # all but the model was checked with the request
        raise NotFound(f"There is no model {model!r}.", param="model", code="model_not_found") from error
    return submit(requested, idempotency_key=idempotency_key)


def submit(requested: ExportSpec, *, retry_of: str | None = None, idempotency_key: str | None = None) -> Submitted:
    """The stored job. Raises what ``accept`` raises, what is wrong with the model, and InvalidRequest for one that generates."""
    return accept(requested, lambda: _check(requested), retry_of=retry_of, idempotency_key=idempotency_key)


def _check(requested: ExportSpec) -> NewJob:
    model_id, serving = meant(requested.model)
    if serving.task not in EXPORTED_TASKS:
        raise InvalidRequest(
            f"{model_id} does {serving.task}: models that generate cannot be exported to {requested.format.upper()}.",
            param="model",
            code="export_not_supported",
            hint=f"Exported are models for {', '.join(sorted(EXPORTED_TASKS))}. Any other can be downloaded and loaded with transformers.",
        )
    return NewJob(kind=JobKind.EXPORT, spec=requested.model_copy(update={"model": model_id}), requested=requested)
