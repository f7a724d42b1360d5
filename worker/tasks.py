"""The one Celery task."""

import os
import threading
from functools import lru_cache
from typing import Final

import structlog
from celery import Celery
from celery.signals import worker_shutting_down
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.config import get_settings
from app.db import fit, now, reading, transaction
from app.disk import has_room
from app.job import gathering, lifecycle, seats
from app.job.lifecycle import ClaimedJob
from app.job.seats import Seat
from app.spec.job import LOWEST_PRIORITY
from app.task_queue import TASK
from worker.devices import Devices, Lent, visible_gpus
from worker.node import run_node
from worker.presence import WORKER_ID
from worker.supervisor import run_attempt

log = structlog.get_logger(__name__)

draining: Final = threading.Event()
"""Set when the worker was told to stop: no new claims, and running trainers write a checkpoint and leave."""

_told: Final[set[str]] = set()
"""Jobs that know that this worker has too few GPUs for them, or that there are too few workers."""


def _drain(**_: object) -> None:
    draining.set()


worker_shutting_down.connect(_drain)


def register(celery: Celery) -> None:
    celery.task(name=TASK, ignore_result=True)(run_available_jobs)


def run_available_jobs() -> None:
    """Claim and run jobs until none is left. A wake-up says nothing but that there may be one."""
    while not draining.is_set():
        if not _has_room() or not _fits_the_schema():
            return
        try:
            work, gpus = _claim(_devices())
        except SQLAlchemyError as error:
            log.warning("the worker cannot claim: no database", error=str(error))
            return
        if work is None:
            return
        try:
            names = gpus.names if gpus else None
            if isinstance(work, Seat):
                run_node(work, draining=draining, gpus=names)
            else:
                run_attempt(work, draining=draining, gpus=names)
        finally:
            if gpus:
                gpus.give_back()


def _has_room() -> bool:
    """A job that is begun on a full disk would only crash; waiting, it loses nothing."""
    settings = get_settings()
    if has_room(settings.jobs_dir, min_free_bytes=settings.min_free_bytes):
        return True
    log.warning(
        "the disk is full: no job is begun", folder=str(settings.jobs_dir), min_free_bytes=settings.min_free_bytes
    )
    return False


def _fits_the_schema() -> bool:
    """A worker that an upgrade of the database has left behind, or come before, claims nothing until that is mended."""
    try:
        with reading() as session:
            problem = fit(session).problem
    except SQLAlchemyError as error:
        log.warning("the worker cannot claim: no database", error=str(error))
        return False
    if problem is not None:
        log.error("the worker claims nothing", reason=problem)
    return problem is None


@lru_cache(maxsize=1)
def _devices() -> Devices:
    names = visible_gpus(os.environ)
    if names:
        log.info("each GPU is lent to one job at a time", gpus=names)
    return Devices(names, folder=get_settings().run_dir)


def _claim(devices: Devices) -> tuple[ClaimedJob | Seat | None, Lent | None]:
    """A job, or a seat in one that several workers run together, with the GPUs it asks for where this machine has any."""
    if devices.total == 0:
        with transaction() as session:
            work, gpus = _claim_or_sit(session), None
    else:
        work, gpus = _with_gpus(devices)
    if work is None:
        with transaction() as session:
            idle = seats.num_idle(session, now=now(session))
            _told.update(gathering.tell_too_few_workers(session, idle=max(idle, 1), told=_told))
    return work, gpus


def _with_gpus(devices: Devices) -> tuple[ClaimedJob | Seat | None, Lent]:
    with devices.free() as gpus:
        work = None
        if gpus.names:
            with transaction() as session:
                work = _claim_or_sit(session, max_processes=len(gpus.names))
        gpus.give_back(keep=work.processes if work else 0)
    if work is None:
        with transaction() as session:
            _told.update(lifecycle.tell_too_large(session, processes=devices.total, told=_told))
    return work, gpus


def _claim_or_sit(session: Session, *, max_processes: int | None = None) -> ClaimedJob | Seat | None:
    """A free seat goes before the jobs that wait, but for those of a higher priority."""
    moment = now(session)
    idle = max(1, seats.num_idle(session, now=moment))
    waited_for = seats.waited_for_priority(session, now=moment, idle=idle)
    least = LOWEST_PRIORITY if waited_for is None else waited_for

    def claim(*, at_least: int) -> ClaimedJob | None:
        return lifecycle.claim_next(
            session, worker_id=WORKER_ID, max_processes=max_processes, max_nodes=idle, least_priority=at_least
        )

    seat_priority = seats.best_free_priority(session, worker_id=WORKER_ID, max_processes=max_processes)
    if seat_priority is None:
        return claim(at_least=least)
    if claimed := claim(at_least=max(least, seat_priority + 1)):
        return claimed
    return seats.take(session, worker_id=WORKER_ID, now=moment, max_processes=max_processes) or claim(at_least=least)
