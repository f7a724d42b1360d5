"""The events that webhooks are told of, in OpenAI's words where it has any."""

from datetime import datetime
from typing import Final

import orjson

from app import ids
from app.job.states import TERMINAL, JobStatus
from app.spec.kinds import JobKind

_PREFIXES: Final[dict[JobKind, str]] = {JobKind.TRAINING: "fine_tuning"}
"""Of other kinds the kind itself: OpenAI has no name for them."""

ALL_EVENTS: Final = frozenset(
    f"{_PREFIXES.get(kind, kind.value)}.job.{status.value}" for kind in JobKind for status in TERMINAL
)


def event_name(kind: JobKind, status: JobStatus) -> str:
    """Such as ``fine_tuning.job.succeeded``."""
    return f"{_PREFIXES.get(kind, kind.value)}.job.{status.value}"


def payload(event: str, *, job_id: str, moment: datetime) -> str:
    """The body: ``{id, object, created_at, type, data: {id}}``. What became of the job is asked for by its id."""
    body = {
        "id": ids.new_id(ids.WEBHOOK_EVENT),
        "object": "event",
        "created_at": int(moment.timestamp()),
        "type": event,
        "data": {"id": job_id},
    }
    return orjson.dumps(body).decode()
