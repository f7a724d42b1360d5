"""The leaderless sweep that runs in every process: requeue jobs whose worker is lost, and wake workers for old queued rows.

It acts by conditional update only, so any number of sweeps may run at once. It is level-triggered: it looks at what is,
not at what happened, so nothing it missed is missed for good.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import DBAPIError

from app import host
from app.audit import service as audit
from app.clock import utc_now
from app.config import get_settings
from app.db import fit, now, reading, transaction
from app.file import service as files
from app.job import deletion, idempotency, lifecycle, repository, retention
from app.metrics import counting
from app.model import service as models
from app.storage import StoreUnavailable
from app.study import deletion as studies_deletion
from app.study import repository as studies
from app.task_queue import wake_workers
from app.webhook import service as webhooks

log = structlog.get_logger(__name__)

LEFTOVERS_SECONDS = 3600.0
"""How often leftovers are looked for, and how long a folder must have rested to be one."""


class Sweep:
    """State of one process's sweep: since when the database has answered without a break."""

    def __init__(self) -> None:
        self._reachable_since: float | None = None
        self._looked_at: datetime | None = None
        """By the database's clock: the last time that leases were compared with it."""
        self._collect_at = 0.0

    def once(self) -> None:
        """One round. An unreachable database is logged and tried again, and then nobody is reaped for a full lease."""
        try:
            if self._reachable_since is None:
                with reading() as session:
                    now(session)
                self._reachable_since = time.monotonic()
            if _is_left_behind():
                return
            self._reap_dead_neighbours()
            self._reap_expired()
            self._wake_for_waiting_jobs()
            self._collect_leftovers()
            _delete_old()
        except DBAPIError as error:
            self._reachable_since = None
            log.warning("the sweep cannot reach the database", error=str(error))
        except StoreUnavailable as error:
            log.warning("the sweep cannot reach the store of artefacts", error=str(error))

    def _reap_expired(self) -> None:
        settings = get_settings()
        lease = settings.lease_seconds
        longest_break = timedelta(seconds=max(lease, 2 * settings.sweep_seconds))
        with transaction() as session:
            moment = now(session)
            if self._looked_at is not None and moment - self._looked_at > longest_break:
                # It hung, or its clock was set, or all of this machine stood still: no worker could renew its lease either.
                self._reachable_since = time.monotonic()
            self._looked_at = moment
            if self._reachable_since is None or time.monotonic() - self._reachable_since < lease:
                return
            for job in repository.expired(session, now=moment):
                if lifecycle.lost(session, job, reason="Its worker was not heard of any more."):
                    counting.count(session, "lease_expiries")
                    log.warning("lease expired", job_id=job.id, attempt=job.attempt)

    def _reap_dead_neighbours(self) -> None:
        """A worker of this very host whose process is gone need not be waited for."""
        with reading() as session:
            dead = [
                (job.id, job.token)
                for job, worker in repository.running_of_host(session, host=host.identity())
                if not host.is_alive(worker.pid, started_at=worker.process_started)
            ]
        for job_id, token in dead:
            with transaction() as session:
                job = repository.get_locked(session, job_id)
                # Another sweep may have been quicker, and a living worker may have the job by now.
                if job.token == token and lifecycle.lost(session, job, reason="Its worker died."):
                    log.warning("worker died", job_id=job_id, attempt=job.attempt)

    def _wake_for_waiting_jobs(self) -> None:
        with reading() as session:
            waiting = repository.has_eligible(session, now=now(session))
        if waiting:
            wake_workers()

    def _collect_leftovers(self) -> None:
        """What killed uploads and attempts left on the disk."""
        if time.monotonic() < self._collect_at:
            return
        self._collect_at = time.monotonic() + LEFTOVERS_SECONDS
        with transaction() as session:
            idempotency.forget_old(session)
            studies.forget_keys(session, created_before=utc_now() - idempotency.KEPT)
        webhooks.forget_old()
        audit.forget_old()
        removed = files.delete_expired()
        removed += files.collect_leftovers(older_than_seconds=LEFTOVERS_SECONDS)
        removed += retention.collect_half_written(older_than_seconds=LEFTOVERS_SECONDS)
        removed += retention.forget_old_checkpoints()
        removed += retention.collect_of_deleted_jobs(older_than_seconds=timedelta(days=1).total_seconds())
        removed += len(models.remove_strays(older_than=timedelta(days=1)))
        removed += len(models.remove_unused(older_than=timedelta(days=1)))
        if removed:
            log.info("leftovers removed", num_folders=removed)


def _is_left_behind() -> bool:
    """A process that the database's schema does not fit keeps its hands off rows that it may misunderstand."""
    with reading() as session:
        problem = fit(session).problem
    if problem is not None:
        log.error("the sweep does nothing", reason=problem)
    return problem is not None


def _delete_old() -> None:
    """A few of the jobs and sweeps that have been over for long enough; the next round deletes more."""
    deleted = deletion.delete_old() + studies_deletion.delete_old()
    if deleted:
        log.info("old jobs and sweeps deleted", num_deleted=deleted)


@contextmanager
def running(each_round: Callable[[], None] | None = None) -> Iterator[None]:
    """Sweep in a thread while the block runs. ``each_round`` is called before each round (a worker says it is alive)."""
    stop = threading.Event()
    sweep = Sweep()

    def rounds() -> None:
        while not stop.is_set():
            try:
                if each_round is not None:
                    each_round()
                sweep.once()
            except Exception:  # a thread that ended would leave lost jobs lost, and a worker unheard of
                log.exception("a round of the sweep failed")
            stop.wait(get_settings().sweep_seconds)

    thread = threading.Thread(target=rounds, name="sweep", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)
