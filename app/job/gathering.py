"""Jobs that several workers run together: what they wait for, and what becomes of them when one of the workers is lost."""

from collections.abc import Collection
from typing import Any

from sqlalchemy.orm import Session

from app.db import now
from app.job import events, lifecycle, records, repository
from app.job.lifecycle import ClaimLost
from app.job.repository import Claim
from app.job.states import JobStatus


def tell_too_few_workers(session: Session, *, idle: int, told: Collection[str]) -> list[str]:
    """Tell waiting jobs that there are only ``idle`` workers for them; their ids. Those in ``told`` know it already."""
    too_large = repository.eligible_above(session, limits={"nodes": idle}, now=now(session))
    for job in too_large:
        nodes = int(job.spec["resources"]["nodes"])
        message, data = words(nodes=nodes, missing=nodes - idle)
        [newest] = records.events_after(session, job.id, number=job.last_event_number - 1, limit=1)
        if job.id not in told and newest.data != data:
            events.append(session, job.id, message, level="warn", data=data)
    return [job.id for job in too_large]


def words(*, nodes: int, missing: int) -> tuple[str, dict[str, Any]]:
    """The message of an event, and its data."""
    message = f"The job asks for {nodes} workers at a time, and waits for {missing} more. Others may run meanwhile."
    if not missing:
        message = "The worker that had the job is stopped; the job goes back to the queue."
    code = "too_few_workers"
    return message, {"code": code, "nodes": nodes, "missing": missing}


def give_back(session: Session, claim: Claim, *, nodes: int, missing: int, pause_seconds: float) -> None:
    """Too few workers came in time. Raises ClaimLost."""
    message, data = words(nodes=nodes, missing=missing)
    lifecycle.ungathered(session, claim, message=message, pause_seconds=pause_seconds, data=data)


def node_lost(session: Session, claim: Claim, *, reason: str) -> None:
    """The worker of another node is gone: the attempt counts as lost, as if it had been the leader's own. Raises ClaimLost."""
    job = lifecycle.locked(session, claim)
    if (job.token, job.status) != (claim.token, JobStatus.RUNNING):
        raise ClaimLost(claim)
    lifecycle.lost(session, job, reason=reason)
