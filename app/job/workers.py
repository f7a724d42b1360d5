"""The workers that are present: what they have, and what they run."""

from collections import defaultdict
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app import caller
from app.db import now, reading
from app.job import hardware, repository, seats
from app.job.hardware import Takes
from app.job.models import WorkerPresence


class GpuOut(BaseModel):
    name: str | None = Field(description="Its model; null where the worker cannot tell")
    memory_bytes: int | None


class WorkerOut(BaseModel):
    """A worker process, and what trainers that it starts can use."""

    id: str = Field(description="New with each start of the process")
    object: Literal["worker"] = "worker"
    name: str | None = Field(description="Of its machine or container")
    started_at: datetime
    seen_at: datetime = Field(description="When it was heard of last")
    slots: int = Field(description="Jobs that it runs at a time")
    num_running: int = Field(description="Jobs, and shares of jobs of several workers, that it runs now")
    jobs: list[str] = Field(description="Of these the jobs that the caller may see")
    takes: Takes
    cpus: int | None
    memory_bytes: int | None
    gpus: list[GpuOut]


class WorkerList(BaseModel):
    object: Literal["list"] = "list"
    data: list[WorkerOut]


def list_workers() -> WorkerList:
    """Those that were heard of within a lease (``TUNERY_LEASE_SECONDS``), the oldest first."""
    with reading() as session:
        with caller.acting_for(None):  # what others run is counted
            running = _running(session)
        workers = hardware.present_workers(session, now=now(session))
        return WorkerList(data=[_worker_out(worker, running[worker.id]) for worker in workers])


def _running(session: Session) -> dict[str, list[tuple[str, str]]]:
    """By worker: its jobs, and their projects."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for worker_id, job_id, project_id in [*repository.who_runs_what(session), *seats.who_shares_what(session)]:
        found[worker_id].append((job_id, project_id))
    return found


def _worker_out(worker: WorkerPresence, running: list[tuple[str, str]]) -> WorkerOut:
    asking = caller.current()
    return WorkerOut(
        id=worker.id,
        name=worker.name,
        started_at=worker.started_at,
        seen_at=worker.seen_at,
        slots=worker.slots,
        num_running=len(running),
        jobs=sorted(job for job, project in running if asking is None or project == asking.project_id),
        takes=Takes(worker.takes),
        cpus=worker.cpus,
        memory_bytes=worker.memory_bytes,
        gpus=[GpuOut.model_validate(gpu) for gpu in worker.gpus],
    )
