"""Public identifiers: a prefix that tells the noun, and a UUIDv7, so that they sort by time of creation."""

import re
from datetime import datetime
from typing import Final

import uuid_utils

JOB: Final = "ftjob"
FILE: Final = "file"
EVENT: Final = "ftevent"
CHECKPOINT: Final = "ftckpt"
MODEL: Final = "model"
SWEEP: Final = "sweep"
WEBHOOK: Final = "webhook"
WEBHOOK_EVENT: Final = "evt"
WEBHOOK_DELIVERY: Final = "whmsg"
KEY: Final = "key"
PROJECT: Final = "proj"
AUDIT_EVENT: Final = "audit"


def new_id(prefix: str) -> str:
    """``ftjob-019…``: the prefix, a hyphen and 32 hexadecimal digits."""
    return f"{prefix}-{uuid_utils.uuid7().hex}"


def least_at(prefix: str, moment: datetime) -> str:
    """An id of that noun sorts before it if it was made before that moment."""
    return f"{prefix}-{int(moment.timestamp() * 1000):012x}" + "0" * 20


def is_id(text: str, prefix: str) -> bool:
    """Whether ``text`` has the form of an id of that noun. What has not need not be looked up."""
    return re.fullmatch(rf"{prefix}-[0-9a-f]{{32}}", text) is not None


def fine_tuned_model_id(base_model: str, *, suffix: str | None, job_id: str) -> str:
    """``ft:<base>:<org>:<suffix>:<job>``. A model tuned from a tuned one carries the name of the first base."""
    base = base_model.split(":")[1] if base_model.startswith("ft:") else base_model
    return f"ft:{base}:tunery:{suffix or ''}:{job_id.partition('-')[2]}"


def event_id(job_id: str, number: int) -> str:
    """Events are numbered per job; their id carries both, so that a stream can resume from it."""
    return f"{EVENT}-{job_id.partition('-')[2]}-{number}"


def event_number(event: str) -> int:
    """The number in an event id. Raises ValueError when ``event`` is not one."""
    match = re.fullmatch(rf"{EVENT}-.*-(\d{{1,9}})", event, flags=re.ASCII)
    if match is None:
        raise ValueError(event)
    return int(match[1])
