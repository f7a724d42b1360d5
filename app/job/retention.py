"""What attempts leave on the disk, and when it goes: half-written folders soon, checkpoints of jobs that have ended later."""

import shutil
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from app import disk, ids, storage
from app.clock import utc_now
from app.config import get_settings
from app.db import reading, transaction
from app.job import records, repository
from app.job.models import Job
from app.job.states import TERMINAL
from app.manifest import TEMPORARY_PREFIX
from app.storage import StoreUnavailable

_PORTION: Final = 500
"""Jobs that are looked up at a time."""


def collect_half_written(*, older_than_seconds: float) -> int:
    """Remove folders that a trainer was writing when it was killed, and in which nothing has changed for so long. How many."""
    root = get_settings().jobs_dir
    if not root.is_dir():
        return 0
    newest = disk.clock_of(root) - older_than_seconds
    return sum(_remove(path) for path in _half_written(root) if disk.last_change(path) < newest)


def collect_of_earlier_attempts(job_id: str) -> None:
    """The same at once, for a job whose earlier attempts are over: whoever still writes for one of them has lost it."""
    for path in _half_written(get_settings().jobs_dir / job_id):
        _remove(path)


def forget_old_checkpoints() -> int:
    """Delete checkpoints of jobs that ended ``TUNERY_KEEP_CHECKPOINTS_SECONDS`` ago. Logs and models stay. How many jobs.

    First the rows say so, then the bytes go; what a crash between the two leaves, the next call finds by the folders.
    """
    settings = get_settings()
    ended_before = utc_now() - timedelta(seconds=settings.keep_checkpoints_seconds)
    with transaction() as session:
        records.forget_checkpoints(session, ended_before=ended_before)
    removed = 0
    stored: dict[Path, list[Path]] = {}
    for checkpoint in stored_checkpoints(settings.jobs_dir):
        stored.setdefault(settings.jobs_dir / checkpoint.relative_to(settings.jobs_dir).parts[0], []).append(checkpoint)
    here = {path.parent.parent for path in settings.jobs_dir.glob("*/attempt-*/checkpoints")}
    for folder in sorted(here | stored.keys()):
        with reading() as session:
            job = repository.get(session, folder.name)
        if job is not None and _ended_before(job, ended_before):
            for attempt in folder.glob("attempt-*"):
                for name in ("checkpoints", "model", "engine", "result"):
                    shutil.rmtree(attempt / name, ignore_errors=True)
            for checkpoint in stored.get(folder, ()):
                storage.remove_stored(checkpoint)
            removed += 1
    return removed


def stored_checkpoints(folder: Path) -> list[Path]:
    """Those in the store, of the job that has this folder or of all jobs in it; none without a store. Raises StoreUnavailable."""
    depth = 4 if folder == get_settings().jobs_dir else 3
    return [path for path in storage.stored_folders(folder, depth=depth) if path.parent.name == "checkpoints"]


def remove_run_directories(job_id: str) -> None:
    """All that attempts of a job have left on the disk, logs and checkpoints too."""
    folder = get_settings().jobs_dir / job_id
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(StoreUnavailable):  # a leftover there
        storage.remove_stored(folder)


def collect_of_deleted_jobs(*, older_than_seconds: float) -> int:
    """Remove run directories of jobs that are deleted, if nothing has changed in them for so long. How many jobs.

    A process that is killed while it deletes a job leaves them; so does a database that was restored from a backup.
    """
    root = get_settings().jobs_dir
    stored = storage.stored_folders(root)
    here = list(root.iterdir()) if root.is_dir() else []
    job_ids = sorted({path.name for path in (*here, *stored) if ids.is_id(path.name, ids.JOB)})
    removed = 0
    for portion in (job_ids[start : start + _PORTION] for start in range(0, len(job_ids), _PORTION)):
        with reading() as session:
            known = repository.existing_ids(session, portion)
        for job_id in set(portion) - known:
            if _rests(root / job_id, stored.get(root / job_id), seconds=older_than_seconds):
                remove_run_directories(job_id)
                removed += 1
    return removed


def _rests(folder: Path, stored_at: datetime | None, *, seconds: float) -> bool:
    """Whether nothing has changed for so long in the folder, here and in the store."""
    if stored_at is not None and stored_at > utc_now() - timedelta(seconds=seconds):
        return False
    return not folder.exists() or disk.last_change(folder) < disk.clock_of(folder.parent) - seconds


def _ended_before(job: Job, moment: datetime) -> bool:
    return job.status in TERMINAL and job.finished_at is not None and job.finished_at < moment


def _half_written(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(f"{TEMPORARY_PREFIX}*") if path.is_dir()]


def _remove(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
