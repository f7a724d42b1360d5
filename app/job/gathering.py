"""Jobs that several workers run together: what they wait for, and what becomes of them when one of the workers is lost."""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy.orm import Session

from app.db import now
from app.job import events, lifecycle, repository
from app.job.lifecycle import ClaimLost
from app.job.repository import Claim
from app.job.states import JobStatus

CODE: Final = "too_few_workers"
"""Of events."""


def tell_too_few_workers(session: Session, *, idle: int, told: Collection[str]) -> list[str]:
    """Tell waiting jobs that there are only ``idle`` workers for them; their ids. Those in ``told`` know it already."""
    too_large = repository.eligible_above(session, limits={"nodes": idle}, now=now(session))
    for job in too_large:
        if job.id not in told and not _was_just_told(session, job.id, after=job.last_event_number - 1):
            nodes = int(job.spec["resources"]["nodes"])
            message, data = words(nodes=nodes, missing=nodes - idle)
            events.append(session, job.id, message, level="warn", data=data)
    return [job.id for job in too_large]


def words(*, nodes: int, missing: int) -> tuple[str, dict[str, Any]]:
    """The message of an event, and its data."""
    message = (
        f"The job asks for {nodes} workers at a time: it waits for {missing} more. Others may run meanwhile, "
        "and it starts when so many are free."
    )
    return message, {"code": CODE, "nodes": nodes, "missing": missing}


def give_back(session: Session, claim: Claim, *, nodes: int, missing: int, pause_seconds: float) -> None:
    """Too few workers came in time. Raises ClaimLost."""
    message, data = words(nodes=nodes, missing=missing)
    lifecycle.ungathered(session, claim, message=message, pause_seconds=pause_seconds, data=data)


def node_lost(session: Session, claim: Claim, *, reason: str) -> None:
    """The worker of another node is gone: the attempt counts as lost, as if it had been the leader's own. Raises ClaimLost."""
    job = repository.get_locked(session, claim.job_id)
    if (job.token, job.status) != (claim.token, JobStatus.RUNNING):
        raise ClaimLost(claim)
    lifecycle.lost(session, job, reason=reason)


def _was_just_told(session: Session, job_id: str, *, after: int) -> bool:
    newest = repository.events_after(session, job_id, number=after, limit=1)
    return any((event.data or {}).get("code") == CODE for event in newest)
