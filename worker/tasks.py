"""The one Celery task."""

import threading
from typing import Final

import structlog
from celery import Celery
from celery.signals import worker_shutting_down
from sqlalchemy.exc import SQLAlchemyError

from app.db import transaction
from app.job import lifecycle
from app.task_queue import TASK
from worker.presence import WORKER_ID
from worker.supervisor import run_attempt

log = structlog.get_logger(__name__)

draining: Final = threading.Event()
"""Set when the worker was told to stop: no new claims, and running trainers write a checkpoint and leave."""


def _drain(**_: object) -> None:
    draining.set()


worker_shutting_down.connect(_drain)


def register(celery: Celery) -> None:
    celery.task(name=TASK, ignore_result=True)(run_available_jobs)


def run_available_jobs() -> None:
    """Claim and run jobs until none is left. A wake-up says nothing but that there may be one."""
    while not draining.is_set():
        try:
            with transaction() as session:
                claimed = lifecycle.claim_next(session, worker_id=WORKER_ID)
        except SQLAlchemyError as error:
            log.warning("the worker cannot claim: no database", error=str(error))
            return
        if claimed is None:
            return
        run_attempt(claimed, draining=draining)
