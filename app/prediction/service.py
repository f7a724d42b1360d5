"""Ask a finished model."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

from sqlalchemy.orm import Session

from app import ids, storage, telemetry
from app.config import get_settings
from app.db import reading
from app.errors import (
    Conflict,
    InvalidModel,
    InvalidRequest,
    NotFound,
    ServiceError,
    TooLarge,
    TooManyRequests,
    Unavailable,
)
from app.job.models import Job
from app.job.states import TERMINAL, JobStatus
from app.model.models import Model
from app.prediction import repository
from app.prediction.client import RETRY_AFTER_SECONDS, Asking
from app.prediction.known import ServedModel, recall, remember
from app.prediction.routing import get_client
from app.prediction.schemas import MAX_INPUTS, Chat, Inputs, PredictRequest, QuestionInContext, TextPair, TokenizedText
from app.prediction.wire import Failure, Piece, Prediction
from app.spec.job import check_reference
from app.spec.kinds import JobKind
from app.spec.serving import SERVING_FILE
from app.spec.words import join_words
from app.storage import StoreUnavailable

MAX_TEXT_BYTES: Final = 2**20
_CHECKPOINT_ID: Final = re.compile(r"(?P<model>ft:.+):ckpt-step-(?P<step>\d{1,9})")


async def predict(request: PredictRequest) -> tuple[ServedModel, Prediction]:
    """Scores of every input by the model that ``request.model`` means.

    Raises NotFound, Conflict (its job has no model yet, or never will), InvalidModel, InvalidRequest, TooLarge,
    TooManyRequests (the queue is full) and Unavailable.
    """
    inputs, asking, served = await _asking(request)
    with telemetry.span("predictor.predict", {"tunery.model_id": served.id, "tunery.num_inputs": len(inputs)}) as span:
        answer = await get_client().predict(inputs, **asking)
        if isinstance(answer, Failure):
            telemetry.fail(span, answer.code)
        elif span is not None:
            for stage in ("queue", "tokenization", "inference"):
                span.set_attribute(f"tunery.{stage}_ms", getattr(answer, f"{stage}_ms"))
    if isinstance(answer, Failure):
        raise _as_error(answer, served)
    return served, answer


async def predict_in_pieces(request: PredictRequest) -> AsyncGenerator[Piece | tuple[ServedModel, Prediction]]:
    """The text behind the one input as it comes, and last the whole prediction, with the model that made it.

    Raises as ``predict`` does, before the first piece or between any two. Closing it stops the model.
    """
    inputs, asking, served = await _asking(request)
    if len(inputs) > 1:
        raise InvalidRequest(
            f"A stream answers one input, and there are {len(inputs)}.",
            param="inputs",
            code="too_many_inputs",
            hint="Send one, or leave out stream.",
        )
    answers = get_client().stream(inputs, **asking)
    async with contextlib.aclosing(answers):
        async for answer in answers:
            if isinstance(answer, Failure):
                raise _as_error(answer, served)
            yield answer if isinstance(answer, Piece) else (served, answer)


async def _asking(request: PredictRequest) -> tuple[list[tuple[str, str | None]], Asking, ServedModel]:
    """The texts, what the predictor must know besides, and the model."""
    inputs, words = texts_of(request.inputs)
    served = await find(request.model)
    asking = Asking(
        words=words,
        model_id=served.id,
        folder=_as_told(served.folder),
        manifest_sha256=served.manifest_sha256,
        timeout_seconds=get_settings().predict_timeout_seconds,
        parameters=request.parameters,
    )
    return inputs, asking, served


def _as_told(folder: Path) -> str:
    """Predictors that share a store and no home have it below a home of their own."""
    return str(folder if storage.remote_store() is None else folder.relative_to(get_settings().artefacts_dir))


async def find(reference: str) -> ServedModel:
    """The model that a job id, model id or checkpoint id means. Raises NotFound, Conflict or InvalidModel."""
    known = recall(reference)
    return known if known is not None else await asyncio.to_thread(remember, reference, resolve)


def texts_of(inputs: Inputs) -> tuple[list[tuple[str, str | None]], list[list[tuple[int, int]] | None] | None]:
    """``inputs`` as a list of texts and second texts, and where the words are of those that were given as words.

    Raises InvalidRequest for too many, TooLarge for too long.
    """
    items = inputs if isinstance(inputs, list) else [inputs]
    if len(items) > MAX_INPUTS:
        raise InvalidRequest(
            f"{len(items)} inputs are too many: at most {MAX_INPUTS} may be sent at a time.",
            param="inputs",
            code="too_many_inputs",
        )
    texts: list[tuple[str, str | None]] = []
    words: list[list[tuple[int, int]] | None] = []
    for item in items:
        spans = None
        match item:
            case TokenizedText():
                text, spans = join_words(item.tokens)
                texts.append((text, None))
            case Chat():
                texts.append((item.model_dump_json(), None))
            case QuestionInContext():
                texts.append((item.question, item.context))
            case TextPair():
                texts.append((item.text, item.text_pair))
            case _:
                texts.append((item, None))
        words.append(spans)
    for index, (text, pair) in enumerate(texts):
        for value in (text, pair or ""):
            if len(value.encode()) > MAX_TEXT_BYTES:
                raise TooLarge(
                    f"A text may have at most {MAX_TEXT_BYTES} bytes.", param=f"inputs[{index}]", code="text_too_large"
                )
    return texts, (words if any(spans is not None for spans in words) else None)


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


def _as_error(failure: Failure, served: ServedModel) -> ServiceError:
    match failure.code:
        case "artifact_corrupt":
            return Unavailable(
                f"The stored files of {served.id} are damaged ({failure.message}); it is not served.",
                code=failure.code,
                hint="Restore its folder from a backup, or train it again.",
            )
        case "storage_unavailable":
            return StoreUnavailable("the predictor cannot fetch the model")
        case "invalid_input":
            return InvalidRequest(f"{failure.param}: {failure.message}", param=failure.param, code=failure.code)
        case "overloaded":
            return TooManyRequests(
                f"The predictor is busy: {failure.message}.",
                code=failure.code,
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        case "model_load_failed" | "prediction_failed":
            return Unavailable(f"{served.id} could not answer: {failure.message}", code=failure.code)
        case "deadline_exceeded" | "shutting_down":
            return Unavailable(
                f"{served.id} did not answer: {failure.message}.",
                code="predictor_unavailable" if failure.code == "shutting_down" else "prediction_timeout",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
