"""From a trainer's sealed folder to a published model: first the bytes, then the row. Both steps may be done again."""

import hashlib
import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Final

import orjson
from sqlalchemy.orm import Session

from app import storage
from app.clock import utc_now
from app.config import get_settings
from app.db import reading
from app.manifest import MANIFEST, CorruptArtefactError, read_manifest, verify
from app.model import repository
from app.model.folders import move, old_folders
from app.model.inspection import CONFIG_FILE
from app.model.models import Model
from app.storage.eviction import DOOMED_PREFIX

MODELS_FOLDER: Final = "models"
_LONGEST_READABLE: Final = 160
"""File systems take names of 255 bytes; hashes and the prefix of a temporary folder need some of them."""


def models_dir() -> Path:
    return get_settings().artefacts_dir / MODELS_FOLDER


def place(folder: Path, *, model_id: str) -> Path:
    """Move the sealed ``folder`` to where the model ``model_id`` lies, and return that place.

    A rename within a file system; across two, a copy whose every byte is compared with the manifest before the original
    is removed. Done again after a crash it finishes, or finds, what the first call did. The place depends on the content
    too, so that an attempt which has lost its job cannot change a model that its successor has published. Raises
    StoreUnavailable, and CorruptArtefactError when the bytes are not those of the manifest, or the model is neither here nor there.
    """
    if not (folder / MANIFEST).exists():
        return _placed_before(model_id)
    manifest = read_manifest(folder)
    target = models_dir() / _folder_name(model_id, content=manifest.sha256)
    if target.exists():
        verify(target, expected_sha256=manifest.sha256)
        shutil.rmtree(folder, ignore_errors=True)
    else:
        move(folder, target, manifest=manifest)
    storage.publish(target)
    return target


def _placed_before(model_id: str) -> Path:
    for target in sorted(models_dir().glob(_folder_name(model_id, content="") + "*")):
        verify(target)
        storage.publish(target)
        return target
    raise CorruptArtefactError(f"the folder of {model_id} is neither in the run directory nor among the models")


def publish(
    session: Session,
    *,
    model_id: str,
    job_id: str,
    base_model: str,
    task: str,
    folder: Path,
    metrics: dict[str, float],
    base_sha256: str | None = None,
) -> Model:
    """Insert the row of a finished job's model, whose sealed folder lies in the artefacts folder (see ``place``).

    Returns the row that is there already when the model was published before. Call it within the transaction that sets
    the job to succeeded. ``base_sha256`` is that of the placed base of an attached model (see ``app.model.bases``). Raises CorruptArtefactError if the folder has no manifest.
    """
    manifest = read_manifest(folder)
    existing = repository.get(session, model_id)
    if existing is not None and existing.manifest_sha256 == manifest.sha256:
        return existing
    model = Model(
        id=model_id,
        kind="fine-tuned",
        base_model=base_model,
        job_id=job_id,
        task=task,
        path=folder.relative_to(get_settings().artefacts_dir).as_posix(),
        manifest_sha256=manifest.sha256,
        weights_sha256=manifest.weights_sha256(),
        base_sha256=base_sha256,
        size_bytes=manifest.size_bytes,
        config=orjson.loads((folder / CONFIG_FILE).read_bytes()),
        metrics=metrics,
        created_at=utc_now(),
    )
    session.add(model)
    session.flush()
    return model


def remove_folder(path: str) -> None:
    """Delete the folder at ``path`` (relative to the artefacts folder): first out of sight, then file by file."""
    storage.remove(get_settings().artefacts_dir / path)


def remove_strays(*, older_than: timedelta) -> list[str]:
    """Delete what a killed process left among the models: unfinished folders, and finished ones that no row knows.

    Only those in which nothing was written for ``older_than``, which must exceed the time between the last byte of a
    model and its row. Returns the names of the deleted folders.
    """
    old = old_folders(models_dir(), older_than=older_than)
    with reading() as session:
        known = repository.all_paths(session)
    strays = {folder for folder in old if f"{MODELS_FOLDER}/{folder.name}" not in known}
    strays |= set(models_dir().glob(f"{DOOMED_PREFIX}*"))
    for folder in strays:
        storage.remove(folder)
    return sorted(folder.name for folder in strays)


def _folder_name(model_id: str, *, content: str) -> str:
    """Readable, safe on every file system, and different for different ids and contents."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", model_id).strip("._-")[-_LONGEST_READABLE:]
    return f"{readable}-{hashlib.sha256(model_id.encode()).hexdigest()[:12]}-{content[:12]}"
