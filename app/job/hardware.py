"""What jobs ask for and workers have: which jobs a worker may claim, and what no worker has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from sqlalchemy import ColumnElement, and_, false, or_, select
from sqlalchemy.orm import Session

from app.config import get_settings
from app.job.models import Job, WorkerPresence
from app.spec.resources import Asked


class Takes(StrEnum):
    """Which jobs a worker takes, of those that it has the hardware for."""

    ANY = "any"
    GPU = "gpu"
    """Those that ask for GPUs."""
    CPU = "cpu"
    """Those that do not, and on none of its GPUs."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a worker has for its next job."""

    gpus: Sequence[int]
    """The memory of each GPU in bytes, 0 where it is unknown: those that are free, or of a worker that is only looked at all."""
    on_gpus: bool
    """It has GPUs, whether any is free or not."""
    takes: Takes = Takes.ANY

    @classmethod
    def of(cls, worker: WorkerPresence) -> Self:
        """What it could ever have."""
        takes = Takes(worker.takes)
        gpus = [] if takes == Takes.CPU else [int(gpu["memory_bytes"] or 0) for gpu in worker.gpus]
        return cls(gpus=gpus, on_gpus=bool(gpus), takes=takes)

    def fits(self, asked: Asked) -> bool:
        if self.takes == Takes.GPU and not asked.needs_gpus:
            return False
        if not self.on_gpus:
            return not asked.needs_gpus
        if asked.gpus == 0:
            return True
        return asked.gpus <= sum(memory >= asked.gpu_memory_bytes for memory in self.gpus)

    def condition(self) -> ColumnElement[bool]:
        """``fits`` of the jobs in the database."""
        if not self.on_gpus:
            return false() if self.takes == Takes.GPU else Job.needs_gpus.is_(False)
        enough = [
            and_(Job.gpus <= sum(other >= memory for other in self.gpus), Job.gpu_memory_bytes <= memory)
            for memory in sorted(set(self.gpus))
        ]
        if self.takes == Takes.GPU:
            return and_(Job.needs_gpus, or_(false(), *enough))
        return or_(Job.gpus == 0, *enough)


def present_workers(session: Session, *, now: datetime) -> Sequence[WorkerPresence]:
    """Those that were heard of within a lease, the oldest first."""
    seen_since = now - timedelta(seconds=get_settings().lease_seconds)
    query = select(WorkerPresence).where(WorkerPresence.seen_at >= seen_since)
    return session.scalars(query.order_by(WorkerPresence.started_at, WorkerPresence.id)).all()


def what_is_missing(asked: Asked, workers: Sequence[WorkerPresence]) -> str | None:
    """Why these workers can never run the job, or None if they can, once they are idle."""
    able = sum(Offer.of(worker).fits(asked) for worker in workers)
    if able >= asked.nodes:
        return None
    if not workers and not asked.needs_gpus:
        return "No worker is present."
    if asked.nodes > 1 and able:
        return f"The job asks for {asked.nodes} workers, each with {asked.words()}, and {able} such {'is' if able == 1 else 'are'} present."
    return f"No worker has {asked.words()}."


def warnings(spec: Mapping[str, Any], workers: Sequence[WorkerPresence]) -> list[dict[str, str]]:
    """Of a job that is accepted now: that it will wait for a worker to be started, if it asks for something special."""
    asked = Asked.by(spec)
    if not asked.needs_gpus:
        return []
    missing = what_is_missing(asked, workers)
    if missing is None:
        return []
    return [{"code": "no_worker_fits", "message": f"{missing} The job waits until there is one."}]
