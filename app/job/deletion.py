"""Deleting jobs that are over, with all that is kept of them; what they made stays, unless it is to go too.

Rows first, in one transaction, then the bytes: a crash between the two leaves folders that no row knows, which are collected
as leftovers.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

import structlog
from sqlalchemy.orm import Session

from app import failpoints
from app.config import get_settings
from app.db import now, reading, transaction
from app.errors import Conflict, NotFound
from app.file import service as files
from app.job import repository, retention
from app.job.models import Job
from app.job.schemas import DeletedJobOut
from app.job.service import require_locked
from app.job.states import TERMINAL, JobStatus
from app.model import service as models

log = structlog.get_logger(__name__)

PORTION = 20
"""Jobs that a round of the sweep deletes for their age: it has other things to do."""


class Results(StrEnum):
    """What becomes of the model and the files that a job made."""

    KEEP = "keep"
    """They stay, and can be used as before."""
    DELETE = "delete"
    """They go too."""


@dataclass(kw_only=True)
class Remains:
    """What lies on the disk of jobs whose rows are gone."""

    job_ids: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    """Their folders, relative to the artefacts folder."""
    files: list[Path] = field(default_factory=list)

    def remove(self) -> None:
        """After the commit. Done again it finds nothing to do."""
        for job_id in self.job_ids:
            retention.remove_run_directories(job_id)
        for path in self.models:
            models.remove_folder(path)
        for folder in self.files:
            files.remove_folder(folder)


def delete(job_id: str, *, results: Results = Results.KEEP) -> DeletedJobOut:
    """Delete a job that is over: its events, metrics, mistakes, checkpoints and logs.

    Raises NotFound, and Conflict while the job is not over, when it is a trial of a sweep, or when something unfinished needs a
    result that is to go; then nothing is deleted.
    """
    with transaction() as session:
        job = require_locked(session, job_id)
        _refuse_unless_over(job)
        remains = delete_within(session, [job], results=results)
    failpoints.reach("job.deleted")
    remains.remove()
    log.info("job deleted", job_id=job_id, results=results)
    return DeletedJobOut(id=job_id)


def delete_within(session: Session, jobs: Iterable[Job], *, results: Results) -> Remains:
    """The rows of jobs that are over and locked, as part of a larger change. Raises Conflict as ``delete`` does."""
    remains = Remains()
    for job in jobs:
        if results == Results.DELETE:
            if job.model_id is not None and (path := models.delete_within(session, job.model_id)) is not None:
                remains.models.append(path)
            for file_id in job.result_files or []:
                if (folder := files.delete_within(session, file_id)) is not None:
                    remains.files.append(folder)
        remains.job_ids.append(job.id)
        session.delete(job)
    session.flush()
    return remains


def delete_old() -> int:
    """Delete jobs that ended ``TUNERY_KEEP_JOBS_SECONDS`` ago, a portion of them, and keep their results. How many.

    Trials stay for as long as their sweep does.
    """
    kept = get_settings().keep_jobs_seconds
    if kept is None:
        return 0
    with reading() as session:
        ended_before = now(session) - timedelta(seconds=kept)
        old = repository.ended_before(session, ended_before, limit=PORTION)
    deleted = 0
    for job_id in old:
        try:
            delete(job_id)
        except NotFound:  # another process was quicker
            continue
        deleted += 1
    return deleted


def _refuse_unless_over(job: Job) -> None:
    if JobStatus(job.status) not in TERMINAL:
        raise Conflict(
            f"The job is {job.status}: it can be deleted once it is over.",
            code="job_is_not_over",
            hint=f"Cancel it first: POST /jobs/{job.id}/cancel.",
        )
    if job.study_id is not None:
        raise Conflict(
            f"The job is a trial of {job.study_id}, which counts on it.",
            code="job_is_a_trial",
            hint=f"Delete the sweep with all its trials: DELETE /sweeps/{job.study_id}.",
        )
