"""The same request under the same ``Idempotency-Key`` means the same job, however often it is sent."""

import hashlib
from datetime import timedelta
from typing import Final

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app import caller
from app.clock import utc_now
from app.errors import InvalidRequest
from app.job.models import IdempotencyKey
from app.spec.kinds import AnySpec

KEPT: Final = timedelta(days=7)


def digest(requested: AnySpec, *, retry_of: str | None) -> str:
    """Of what is asked for, not of how it is written: spaces and the order of fields do not matter."""
    text = f"{retry_of or ''}\n{requested.model_dump_json(exclude_unset=True)}"
    return hashlib.sha256(text.encode()).hexdigest()


def find(session: Session, key: str, *, request_sha256: str) -> str | None:
    """The job that was made under ``key``. Raises InvalidRequest if it was made from another request."""
    row = session.get(IdempotencyKey, (caller.project_id(), key))
    if row is None:
        return None
    if row.request_sha256 != request_sha256:
        raise InvalidRequest(
            "This Idempotency-Key was sent before with another request.",
            param="Idempotency-Key",
            code="idempotency_key_reused",
            hint=f"It made the job {row.job_id}. A new request needs a new key.",
        )
    return row.job_id


class KeyTakenError(Exception):
    """Another request was quicker."""


def take(session: Session, key: str, *, request_sha256: str, job_id: str) -> None:
    """Bind ``key`` to a job that the same transaction stores; waits for others that do so.

    Raises KeyTakenError if one of them has it now: the transaction is then of no use any more.
    """
    session.add(IdempotencyKey(key=key, request_sha256=request_sha256, job_id=job_id, created_at=utc_now()))
    try:
        session.flush()
    except IntegrityError as error:
        raise KeyTakenError(key) from error


def forget_old(session: Session) -> None:
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < utc_now() - KEPT))
