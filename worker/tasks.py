"""The one Celery task."""

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
from app.job.hardware import Offer, Takes
from app.job.lifecycle import ClaimedJob
from app.job.seats import Seat
from app.spec.job import LOWEST_PRIORITY
from app.spec.resources import Asked
from app.task_queue import TASK
from worker.devices import Devices, Lent
from worker.inventory import inventory
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
            names = _names(work, gpus)
            if isinstance(work, Seat):
                run_node(work, draining=draining, gpus=names)
            else:
                run_attempt(work, draining=draining, gpus=names)
        finally:
            if gpus:
                gpus.give_back()


def _names(work: ClaimedJob | Seat, gpus: Lent | None) -> list[str] | None:
    """Of the GPUs that its trainer may see; None: it looks for itself, where none are lent."""
    if gpus is not None:
        return gpus.names
    hides = Takes(get_settings().worker_takes) == Takes.CPU or Asked.by(work.spec).gpus == 0
    return [] if hides else None


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
    gpus = inventory().gpus
    names = [gpu.id for gpu in gpus]
    if names:
        log.info("each GPU is lent to one job at a time", gpus=names)
    memory = {gpu.id: gpu.memory_bytes for gpu in gpus if gpu.memory_bytes is not None}
    return Devices(names, folder=get_settings().run_dir, memory=memory)


def _claim(devices: Devices) -> tuple[ClaimedJob | Seat | None, Lent | None]:
    """A job, or a seat in one that several workers run together, with the GPUs it asks for where this machine has any."""
    if devices.total == 0:
        with transaction() as session:
            work, gpus = _claim_or_sit(session, offer=_offer()), None
    else:
        work, gpus = _with_gpus(devices)
    if work is None:
        with transaction() as session:
            idle = seats.num_idle(session, now=now(session))
            _told.update(gathering.tell_too_few_workers(session, idle=max(idle, 1), told=_told))
    return work, gpus


def _with_gpus(devices: Devices) -> tuple[ClaimedJob | Seat | None, Lent]:
    with devices.free() as gpus:
        with transaction() as session:
            work = _claim_or_sit(session, offer=_offer(gpus))
        asked = Asked.by(work.spec) if work else Asked(gpus=0, needs_gpus=False, gpu_memory_bytes=0)
        gpus.give_back(keep=asked.gpus, least_bytes=asked.gpu_memory_bytes)
    if work is None:
        with transaction() as session:
            _told.update(lifecycle.tell_too_large(session, gpus=devices.total, told=_told))
    return work, gpus


def _offer(gpus: Lent | None = None) -> Offer:
    takes = Takes(get_settings().worker_takes)
    return Offer(gpus=gpus.memory_bytes if gpus else [], on_gpus=gpus is not None, takes=takes)


def _claim_or_sit(session: Session, *, offer: Offer) -> ClaimedJob | Seat | None:
    """A free seat goes before the jobs that wait, but for those of a higher priority."""
    moment = now(session)
    idle = max(1, seats.num_idle(session, now=moment))
    waited_for = seats.waited_for_priority(session, now=moment, idle=idle, offer=offer)
    least = LOWEST_PRIORITY if waited_for is None else waited_for

    def claim(*, at_least: int) -> ClaimedJob | None:
        return lifecycle.claim_next(session, worker_id=WORKER_ID, offer=offer, max_nodes=idle, least_priority=at_least)

    seat_priority = seats.best_free_priority(session, worker_id=WORKER_ID, offer=offer)
    if seat_priority is None:
        return claim(at_least=least)
    if claimed := claim(at_least=max(least, seat_priority + 1)):
        return claimed
    return seats.take(session, worker_id=WORKER_ID, now=moment, offer=offer) or claim(at_least=least)
