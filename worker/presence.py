"""This worker process's own name, and how it tells the others that it is there."""

import os
import socket
from typing import Final

import structlog
from sqlalchemy.exc import DBAPIError

from app import host
from app.config import get_settings
from app.db import now, transaction
from app.ids import new_id
from app.job.models import WorkerPresence
from worker.inventory import inventory

log = structlog.get_logger(__name__)

WORKER_ID: Final = new_id("worker")
"""Fresh for each start of a process: a restarted worker never takes itself for its predecessor."""


def announce() -> None:
    """Store or renew this worker's row. An unreachable database is not this function's trouble."""
    own = inventory()
    try:
        with transaction() as session:
            moment = now(session)
            row = session.get(WorkerPresence, WORKER_ID)
            if row is not None:
                row.seen_at = moment
                return
            session.add(
                WorkerPresence(
                    id=WORKER_ID,
                    host=host.identity(),
                    pid=os.getpid(),
                    process_started=host.process_started(os.getpid()),
                    name=socket.gethostname(),
                    slots=get_settings().worker_slots,
                    takes=get_settings().worker_takes,
                    cpus=own.cpus,
                    memory_bytes=own.memory_bytes,
                    gpus=[gpu.as_told() for gpu in own.gpus],
                    started_at=moment,
                    seen_at=moment,
                )
            )
    except DBAPIError as error:
        log.warning("the worker cannot announce itself", error=str(error))
