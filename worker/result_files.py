"""What is published of an attempt that wrote files: they are moved to where files live and made known with the job's success."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from app import failpoints, storage
from app.config import get_settings
from app.db import transaction
from app.file import results
from app.job import lifecycle, records, repository, retention
from app.job.repository import Claim
from app.spec.messages import FilesMessage
from app.storage import StoreUnavailable
from worker import isolation


def publish_files(claim: Claim, result: FilesMessage) -> None:
    """Move the files, then make them known and end the job in one transaction. May be done again if that fails.

    Raises ClaimLost when another attempt owns the job: what was moved then belongs to nobody, and is collected.
    """
    with transaction() as session:
        lifecycle.write(session, claim, phase="publishing")
    failpoints.reach("result.announced")
    folders = {
        file.file_id: results.place(isolation.take_back(Path(file.folder), job_id=claim.job_id), file_id=file.file_id)
        for file in result.files
    }
    failpoints.reach("result.placed")
    with transaction() as session:
        job = lifecycle.locked(session, claim)
        attempt = repository.attempt(session, claim)
        assert attempt is not None
        attempt.last_step = result.num_done
        for file in result.files:
            row = results.Result(**file.model_dump(exclude={"folder"}))
            results.publish(session, row, folder=folders[file.file_id], job_id=claim.job_id)
        lifecycle.succeed(
            session,
            claim,
            result_files=list(folders),
            report=result.report,
            timings=result.timings,
            progress=progress_at_the_end(job.progress, last_step=result.num_done),
        )
        records.forget_checkpoints_of(session, claim.job_id)
        failpoints.reach("result.written")
    failpoints.reach("result.stored")
    _remove_parts(get_settings().jobs_dir / claim.job_id)


def progress_at_the_end(
    progress: Mapping[str, Any], *, last_step: int, num_tokens: int | None = None
) -> dict[str, Any]:
    """The last that was told is thinned out, and may be of a step before."""
    max_steps = progress.get("max_steps")
    told = {**progress, "step": last_step} | ({"fraction": min(1.0, last_step / max_steps)} if max_steps else {})
    return told if num_tokens is None else {**told, "num_tokens": num_tokens}


def _remove_parts(folder: Path) -> None:
    """All is in the result now. What a crash before this leaves goes with old checkpoints."""
    for parts in folder.glob("attempt-*/checkpoints"):
        shutil.rmtree(parts, ignore_errors=True)
    with suppress(StoreUnavailable):
        for part in retention.stored_checkpoints(folder):
            storage.remove_stored(part)
