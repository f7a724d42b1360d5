"""From a folder that a job sealed to a file that can be read: first the bytes, then the row. Both steps may be done again."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.orm import Session

from app import storage
from app.clock import utc_now
from app.config import get_settings
from app.file import repository
from app.file.models import File
from app.file.service import FOLDER
from app.manifest import MANIFEST, CorruptArtefactError, read_manifest, verify
from app.model.folders import move

ResultPurpose = Literal["predictions", "export", "fine-tune-results"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a job wrote, as its row will tell it."""

    file_id: str
    """New, made with the result: that of another attempt is another file."""
    filename: str
    stored_as: str
    """Its name in the sealed folder."""
    purpose: ResultPurpose
    format: str
    profile: dict[str, Any]
    """Empty where it holds no rows."""


def place(folder: Path, *, file_id: str) -> Path:
    """Move the sealed ``folder`` to where the file lies, and return that place; done again it finds what the first call did.

    Raises StoreUnavailable, and CorruptArtefactError if it is neither here nor there, or changed on its way. Without a row it goes within hours
    (``collect_leftovers``).
    """
    target = get_settings().artefacts_dir / FOLDER / file_id
    if target.exists():
        verify(target)
        shutil.rmtree(folder, ignore_errors=True)
        storage.publish(target)
        return target
    if not (folder / MANIFEST).exists():
        raise CorruptArtefactError(f"the folder of {file_id} is neither in the run directory nor among the files")
    os.utime(folder)  # leftovers are told by their age
    move(folder, target, manifest=read_manifest(folder))
    storage.publish(target)
    return target


def publish(session: Session, result: Result, *, folder: Path, job_id: str) -> File:
    """Insert the row of a placed result, within the transaction that sets its job to succeeded."""
    stored = read_manifest(folder).files[result.stored_as]
    file = File(
        id=result.file_id,
        filename=result.filename,
        purpose=result.purpose,
        format=result.format,
        size_bytes=stored["bytes"],
        sha256=stored["sha256"],
        path=f"{FOLDER}/{result.file_id}/{result.stored_as}",
        profile=result.profile,
        job_id=job_id,
        created_at=utc_now(),
    )
    repository.add(session, file)
    return file
