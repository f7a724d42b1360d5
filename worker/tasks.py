"""The one Celery task."""

import os
import threading
from functools import lru_cache
from typing import Final

import structlog
from celery import Celery
from celery.signals import worker_shutting_down
from sqlalchemy.exc import SQLAlchemyError

from app.config import get_settings
from app.db import transaction
from app.disk import has_room
from app.job import lifecycle
from app.job.lifecycle import ClaimedJob
from app.task_queue import TASK
from worker.devices import Devices, Lent, visible_gpus
from worker.presence import WORKER_ID
from worker.supervisor import run_attempt

log = structlog.get_logger(__name__)

draining: Final = threading.Event()
"""Set when the worker was told to stop: no new claims, and running trainers write a checkpoint and leave."""

_told: Final[set[str]] = set()
"""Jobs that know that this worker has too few GPUs for them."""


def _drain(**_: object) -> None:
    draining.set()


worker_shutting_down.connect(_drain)


def register(celery: Celery) -> None:
    celery.task(name=TASK, ignore_result=True)(run_available_jobs)


def run_available_jobs() -> None:
    """Claim and run jobs until none is left. A wake-up says nothing but that there may be one."""
    while not draining.is_set():
        if not _has_room():
            return
        try:
            claimed, gpus = _claim(_devices())
        except SQLAlchemyError as error:
            log.warning("the worker cannot claim: no database", error=str(error))
            return
        if claimed is None:
            return
        try:
            run_attempt(claimed, draining=draining, gpus=gpus.names if gpus else None)
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


@lru_cache(maxsize=1)
def _devices() -> Devices:
    names = visible_gpus(os.environ)
    if names:
        log.info("each GPU is lent to one job at a time", gpus=names)
    return Devices(names, folder=get_settings().run_dir)


def _claim(devices: Devices) -> tuple[ClaimedJob | None, Lent | None]:
    """A job, with the GPUs it asks for where this machine has any."""
    if devices.total == 0:
        with transaction() as session:
            return lifecycle.claim_next(session, worker_id=WORKER_ID), None
    with devices.free() as gpus:
        claimed = None
        if gpus.names:
            with transaction() as session:
                claimed = lifecycle.claim_next(session, worker_id=WORKER_ID, max_processes=len(gpus.names))
        gpus.give_back(keep=claimed.processes if claimed else 0)
    if claimed is None:
        with transaction() as session:
            _told.update(lifecycle.tell_too_large(session, processes=devices.total, told=_told))
    return claimed, gpus
