"""A model's row and what it names: its folder, its manifest, and what is told of it."""

from pathlib import Path
from typing import Literal, cast

from sqlalchemy.orm import Session

from app import storage
from app.config import get_settings
from app.errors import Unavailable
from app.manifest import CorruptArtefactError, Manifest
from app.model import repository
from app.model.bases import look_at_base
from app.model.inspection import labels_of
from app.model.models import Model
from app.model.schemas import ModelOut


def find(session: Session, model_id: str) -> Model | None:
    """PostgreSQL refuses to even compare with a text that has a NUL."""
    return None if "\0" in model_id else repository.get(session, model_id)


def folder_of(row: Model) -> Path:
    return get_settings().artefacts_dir / row.path


def manifest_of(row: Model) -> Manifest:
    """The manifest that was published, with every file still there and as long as it was; the base's too."""
    try:
        manifest = storage.look_at(folder_of(row), expected_sha256=row.manifest_sha256)
        if row.base_sha256 is not None:
            look_at_base(row.base_sha256)
    except CorruptArtefactError as error:
        raise damaged(row) from error
    return manifest


def bytes_at(path: Path) -> bytes | None:
    try:
        return storage.read(path)
    except FileNotFoundError:
        return None


def damaged(row: Model) -> Unavailable:
    return Unavailable(
        f"The files of the model {row.id!r} are damaged.",
        code="artifact_corrupt",
        hint="Restore them from a backup, or train or register it again.",
    )


def model_out(row: Model) -> ModelOut:
    labels = labels_of(row.config) if row.task else None
    return ModelOut(
        id=row.id,
        kind=cast("Literal['registered', 'fine-tuned']", row.kind),
        base_model=row.base_model,
        job_id=row.job_id,
        task=row.task,
        labels=None if labels is None else list(labels),
        metrics=row.metrics,
        weights_sha256=row.weights_sha256,
        base_sha256=row.base_sha256,
        shared=row.shared,
        size_bytes=row.size_bytes,
        created_at=row.created_at,
    )
