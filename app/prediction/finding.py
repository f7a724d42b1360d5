"""Which model a reference means: a job's, a model itself, its published checkpoint, the best of a sweep."""

import asyncio
import re
from pathlib import Path
from typing import Final

from sqlalchemy.orm import Session

from app import ids, storage
from app.config import get_settings
from app.db import reading
from app.errors import Conflict, InvalidModel, InvalidRequest, NotFound, ServiceError
from app.job.models import Job
from app.job.states import TERMINAL, JobStatus
from app.model.models import Model
from app.prediction import repository
from app.prediction.known import ServedModel, recall, remember
from app.spec.job import check_reference
from app.spec.kinds import JobKind
from app.spec.serving import SERVING_FILE

_CHECKPOINT_ID: Final = re.compile(r"(?P<model>ft:.+):ckpt-step-(?P<step>\d{1,9})")


async def find(reference: str) -> ServedModel:
    """The model that a job id, model id or checkpoint id means. Raises NotFound, Conflict or InvalidModel."""
    known = recall(reference)
    return known if known is not None else await asyncio.to_thread(remember, reference, resolve)


def resolve(reference: str) -> ServedModel:
    """Find the model that a job id, model id or checkpoint id means. Raises NotFound, Conflict or InvalidModel."""
    try:
        check_reference(reference)
    except ValueError as error:
        raise InvalidRequest(f"model {error}", param="model", code="invalid_model") from error
    with reading() as session:
        model = _find(session, reference)
    folder = get_settings().artefacts_dir / model.path
    if model.kind != "fine-tuned" and not _has_record(folder):
        raise InvalidModel(
            f"{model.id} is a base model: it can be fine-tuned, not asked.", param="model", code="model_not_servable"
        )
    return ServedModel(id=model.id, folder=folder, manifest_sha256=model.manifest_sha256)


def _has_record(folder: Path) -> bool:
    """Of what it was tuned for."""
    try:
        storage.read(folder / SERVING_FILE)
    except FileNotFoundError:
        return False
    return True


def _find(session: Session, reference: str) -> Model:
    if checkpoint := _CHECKPOINT_ID.fullmatch(reference):
        return _checkpoint(session, checkpoint["model"], step=int(checkpoint["step"]))
    if ids.is_id(reference, ids.SWEEP):
        return _best_of_sweep(session, reference)
    if model := repository.model(session, reference) or repository.model_of_job(session, reference):
        return model
    if job := repository.job(session, reference):
        raise _without_model(job)
    raise NotFound(f"There is no model or job {reference}.", param="model", code="model_not_found")


def _best_of_sweep(session: Session, sweep_id: str) -> Model:
    """The model of its best trial so far."""
    study = repository.study(session, sweep_id)
    if study is None:
        raise NotFound(f"There is no sweep {sweep_id}.", param="model", code="model_not_found")
    job_id = repository.best_job_of_study(session, sweep_id)
    if job_id is None and study.finished_at is None:
        message = f"Sweep {sweep_id} is {study.status}, and none of its trials has succeeded yet."
        raise Conflict(message, param="model", code="model_not_ready")
    if job_id is None:
        message = f"Sweep {sweep_id} is {study.status}: it has no model."
        raise Conflict(message, param="model", code="job_has_no_model")
    model = repository.model_of_job(session, job_id)
    if model is None:
        raise NotFound(f"The model of sweep {sweep_id} was deleted.", param="model", code="model_not_found")
    return model


def _checkpoint(session: Session, model_id: str, *, step: int) -> Model:
    """Find the published model of a checkpoint, which is the best one of its job; others only serve to resume."""
    model = repository.model(session, model_id)
    if model is None or model.job_id is None:
        raise NotFound(f"There is no model {model_id}.", param="model", code="model_not_found")
    job = repository.job(session, model.job_id)
    if job is None:
        raise NotFound(
            f"The job that made {model_id} was deleted: of which step it is, is not known any more.",
            param="model",
            code="checkpoint_not_published",
            hint=f"Ask {model_id}.",
        )
    published = (job.best_metrics or {}).get("step")
    if published != step:
        raise NotFound(
            f"The checkpoint of step {step} is not published.",
            param="model",
            code="checkpoint_not_published",
            hint=f"{model_id} is its best checkpoint" + (f", of step {published}." if published is not None else "."),
        )
    return model


def _without_model(job: Job) -> ServiceError:
    if job.kind != JobKind.TRAINING:
        message = f"Job {job.id} is of the kind {job.kind}: it makes no model."
        return Conflict(message, param="model", code="job_has_no_model")
    if JobStatus(job.status) in TERMINAL - {JobStatus.SUCCEEDED}:
        return Conflict(f"Job {job.id} is {job.status}: it has no model.", param="model", code="job_has_no_model")
    if job.status == JobStatus.SUCCEEDED:
        return NotFound(f"The model of job {job.id} was deleted.", param="model", code="model_not_found")
    return Conflict(
        f"Job {job.id} is {job.status}: its model can be asked once it has succeeded.",
        param="model",
        code="model_not_ready",
    )
