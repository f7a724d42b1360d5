"""Idle workers also look for jobs without being woken, so that jobs run, a little later, with the broker gone.

A bootstep after the pool and before the broker connection: it works also when the broker was never there.
"""

import threading
from typing import Any

import structlog
from celery import bootsteps
from sqlalchemy.exc import SQLAlchemyError

from app.config import get_settings
from app.db import now, reading
from app.job import repository, seats
from worker import tasks
from worker.presence import WORKER_ID

log = structlog.get_logger(__name__)


class Poller(bootsteps.StartStopStep):  # type: ignore[misc]
    """Hands the pool the task's function when there is something to claim and no earlier hand-over is waiting."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._stop = threading.Event()
        self._waiting = threading.Semaphore(1)

    def start(self, parent: Any) -> None:
        threading.Thread(target=self._rounds, args=(parent.pool,), name="poller", daemon=True).start()

    def stop(self, parent: Any) -> None:  # noqa: ARG002
        self._stop.set()

    def _rounds(self, pool: Any) -> None:
        while not self._stop.is_set() and not tasks.draining.is_set():
            if self._has_work() and self._waiting.acquire(blocking=False):
                pool.apply_async(self._run, callback=_ignore)
            self._stop.wait(get_settings().poll_seconds)

    def _run(self) -> None:
        self._waiting.release()
        tasks.run_available_jobs()

    def _has_work(self) -> bool:
        try:
            with reading() as session:
                if seats.best_free_priority(session, worker_id=WORKER_ID) is not None:
                    return True
                return repository.has_eligible(session, now=now(session))
        except SQLAlchemyError as error:
            log.warning("the poller cannot reach the database", error=str(error))
            return False


def _ignore(result: object) -> None:
    """The pool insists on a callback; the task's effects are all in the database."""
