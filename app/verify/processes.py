"""Trainers of this home on this machine: each belongs to an attempt that runs."""

from collections.abc import Iterator

from sqlalchemy import select

from app import host
from app.config import get_settings
from app.db import reading
from app.job.models import Job
from app.job.states import JobStatus
from app.verify.finding import Finding


def check_all() -> Iterator[Finding]:
    """Finds nothing where the system has no list of its processes."""
    jobs_dir = f"{get_settings().jobs_dir.resolve()}/"
    living = {
        pid: words for pid, words in host.command_lines().items() if jobs_dir in words and "worker.trainer" in words
    }
    with reading() as session:
        running = {
            f"{jobs_dir}{job_id}/attempt-{attempt}"
            for job_id, attempt in session.execute(select(Job.id, Job.attempt).where(Job.status == JobStatus.RUNNING))
        }
    for pid, words in sorted(living.items()):
        if host.command_lines().get(pid) == words and not any(_is_of(words, folder) for folder in running):
            yield Finding(
                subject=f"process {pid}", kind="orphan", message=f"It trains for an attempt that is over: {words}"
            )


def _is_of(words: str, folder: str) -> bool:
    """Whether a command line names that run directory, or a node's below it."""
    return f"{folder} " in f"{words} " or f"{folder}/" in words
