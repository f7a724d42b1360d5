"""Deleting sweeps that are over, with their trials and those trials' jobs."""

from datetime import timedelta

import structlog

from app import failpoints
from app.config import get_settings
from app.db import now, reading, transaction
from app.errors import Conflict, NotFound
from app.job import deletion
from app.job.deletion import Results
from app.study import repository
from app.study.schemas import DeletedSweepOut
from app.study.service import require_locked
from app.study.states import TERMINAL

log = structlog.get_logger(__name__)


def delete(sweep_id: str, *, results: Results = Results.KEEP) -> DeletedSweepOut:
    """Delete a sweep that is over and the jobs that were its trials, in one transaction; models and files as ``results`` says.

    Raises NotFound, and Conflict while it is not over, or when something unfinished needs a result that is to go.
    """
    with transaction() as session:
        study = require_locked(session, sweep_id)
        if study.status not in TERMINAL:
            raise Conflict(
                f"The sweep is {study.status}: it can be deleted once it is over.",
                code="sweep_is_not_over",
                hint=f"Cancel it first: POST /sweeps/{sweep_id}/cancel.",
            )
        jobs = [job for _, job in repository.trials(session, sweep_id) if job is not None]
        repository.delete(session, sweep_id)
        remains = deletion.delete_within(session, jobs, results=results)
    failpoints.reach("study.deleted")
    remains.remove()
    log.info("sweep deleted", study_id=sweep_id, num_jobs=len(jobs), results=results)
    return DeletedSweepOut(id=sweep_id)


def delete_old() -> int:
    """Delete the oldest of the sweeps that ended ``TUNERY_KEEP_JOBS_SECONDS`` ago, and keep its results. How many: one at most."""
    kept = get_settings().keep_jobs_seconds
    if kept is None:
        return 0
    with reading() as session:
        sweep_id = repository.first_ended_before(session, now(session) - timedelta(seconds=kept))
    if sweep_id is None:
        return 0
    try:
        delete(sweep_id)
    except NotFound:  # another process was quicker
        return 0
    return 1
