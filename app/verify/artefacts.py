"""Files, models and checkpoints: what rows point to is whole, and nothing half-made lies about."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import select

from app import storage
from app.config import get_settings
from app.db import reading
from app.file.models import File
from app.job.models import Checkpoint, Job
from app.job.states import TERMINAL
from app.manifest import TEMPORARY_PREFIX, CorruptArtefactError, sha256_of
from app.model.bases import look_at_base, verify_base
from app.model.models import Model
from app.verify.finding import Finding

STALE_SECONDS: Final = 3600.0
"""Something temporary that was not touched for so long is being made by nobody."""


def check_all(*, thorough: bool) -> Iterator[Finding]:
    yield from _check_files(thorough=thorough)
    yield from _check_models(thorough=thorough)
    yield from _check_checkpoints(thorough=thorough)
    yield from _check_leftovers()


def _check_files(*, thorough: bool) -> Iterator[Finding]:
    with reading() as session:
        files = session.scalars(select(File)).all()
        makers = {row.id: row for row in session.execute(select(Job.id, Job.result_files, Job.project_id))}
    for file in files:
        maker = makers.get(file.job_id)
        if maker is not None and file.project_id != maker.project_id:
            yield _of_another_project(file.id, maker.id)
        if maker is not None and file.id not in (maker.result_files or []):
            yield Finding(subject=file.id, kind="file_of_no_job", message=f"{file.job_id} does not know it.")
        path = get_settings().artefacts_dir / file.path
        try:
            whole = _is_whole(file, path, thorough=thorough)
        except FileNotFoundError:
            yield Finding(subject=file.id, kind="file_missing", message="Its bytes are gone.")
        else:
            if not whole:
                yield Finding(subject=file.id, kind="file_changed", message="Its bytes are not those that were stored.")


def _is_whole(file: File, path: Path, *, thorough: bool) -> bool:
    """Whether it is what its row says, where files are kept. Raises FileNotFoundError."""
    if storage.remote_store() is None:
        return path.stat().st_size == file.size_bytes and (not thorough or sha256_of(path) == file.sha256)
    try:
        stored = storage.verify(path.parent) if thorough else storage.look_at(path.parent)
    except CorruptArtefactError as error:
        if not storage.is_stored(path.parent):
            raise FileNotFoundError(path) from error
        return False
    entry = stored.files.get(path.name)
    return entry is not None and (entry["bytes"], entry["sha256"]) == (file.size_bytes, file.sha256)


def _check_models(*, thorough: bool) -> Iterator[Finding]:
    with reading() as session:
        models = session.scalars(select(Model)).all()
        makers = {row.id: row for row in session.execute(select(Job.id, Job.model_id, Job.project_id))}
    for model in models:
        folder = get_settings().artefacts_dir / model.path
        yield from _check_folder(folder, model.manifest_sha256, subject=model.id, thorough=thorough)
        maker = makers.get(model.job_id)
        if maker is not None and model.project_id != maker.project_id:
            yield _of_another_project(model.id, maker.id)
        if maker is not None and maker.model_id != model.id:
            yield Finding(subject=model.id, kind="model_of_no_job", message=f"{model.job_id} does not know it.")
    yield from _check_bases(models, thorough=thorough)


def _of_another_project(subject: str, job_id: str) -> Finding:
    return Finding(
        subject=subject, kind="owner_differs", message=f"It belongs to another project than {job_id}, which made it."
    )


def _check_bases(models: Sequence[Model], *, thorough: bool) -> Iterator[Finding]:
    """Each is looked at once, and told of for every model that needs it."""
    needed: dict[str, list[str]] = {}
    for model in models:
        if model.base_sha256 is not None:
            needed.setdefault(model.base_sha256, []).append(model.id)
    for base, adapters in needed.items():
        try:
            verify_base(base) if thorough else look_at_base(base)
        except CorruptArtefactError as error:
            for model_id in adapters:
                message = f"The base that it is attached to cannot be used: {error}."
                yield Finding(subject=model_id, kind="base_corrupt", message=message)


def _check_checkpoints(*, thorough: bool) -> Iterator[Finding]:
    """Of jobs that may still need them."""
    with reading() as session:
        query = select(Checkpoint).join(Job).where(Checkpoint.state == "committed", Job.status.not_in(TERMINAL))
        saved = session.scalars(query).all()
    for checkpoint in saved:
        folder = get_settings().jobs_dir / checkpoint.path
        yield from _check_folder(folder, checkpoint.manifest_sha256, subject=checkpoint.id, thorough=thorough)


def _check_folder(folder: Path, manifest_sha256: str, *, subject: str, thorough: bool) -> Iterator[Finding]:
    try:
        if thorough:
            storage.verify(folder, expected_sha256=manifest_sha256)
        else:
            storage.look_at(folder, expected_sha256=manifest_sha256)
    except CorruptArtefactError as error:
        yield Finding(subject=subject, kind="artifact_corrupt", message=f"{error}.")


def _check_leftovers() -> Iterator[Finding]:
    settings = get_settings()
    for root in (settings.artefacts_dir, settings.jobs_dir):
        for path in root.rglob(f"{TEMPORARY_PREFIX}*"):
            try:
                age = time.time() - path.stat().st_mtime
            except FileNotFoundError:
                continue  # it was finished meanwhile
            if age > STALE_SECONDS:
                place = path.relative_to(settings.home_dir).as_posix()
                yield Finding(
                    subject=place, kind="leftover", message=f"Half-made, and untouched for {age / 3600:.1f} h."
                )
