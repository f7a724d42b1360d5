"""``POST /jobs/{id}/retry``: the same job again, or nearly the same."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.db import reading
from app.errors import Conflict
from app.job import export, prediction, submission
from app.job.acceptance import Submitted
from app.job.service import require
from app.job.states import TERMINAL, JobStatus
from app.spec.kinds import JobKind, read_spec

SUBMIT: Final[dict[JobKind, Callable[..., Submitted]]] = {
    JobKind.TRAINING: submission.submit,
    JobKind.PREDICTION: prediction.submit,
    JobKind.EXPORT: export.submit,
}
"""Each takes the spec of its kind."""


def retry(job_id: str, changes: Mapping[str, Any], *, idempotency_key: str | None) -> Submitted:
    """A new job from what was sent for ``job_id``, with ``changes`` to it; what was ``"auto"`` is chosen anew.

    Raises NotFound, Conflict while the job is not over, pydantic's ValidationError for changes that make no spec, and whatever
    ``submit`` raises.
    """
    with reading() as session:
        job = require(session, job_id)
        status, kind, sent = JobStatus(job.status), JobKind(job.kind), job.requested_spec
    if status not in TERMINAL:
        raise Conflict(
            f"The job is {status.value}: it can be retried once it is over.",
            code="job_is_not_over",
            hint="A paused job goes on with resume." if status == JobStatus.PAUSED else "Cancel it first.",
        )
    spec = read_spec(kind, merged(sent, changes))
    return SUBMIT[kind](spec, retry_of=job_id, idempotency_key=idempotency_key)


def merged(sent: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``sent`` with ``changes``: objects are merged, all else takes the place of what was there."""
    result = dict(sent)
    for name, value in changes.items():
        old = result.get(name)
        result[name] = merged(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return result
