"""Ask a finished model."""

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

from app import storage, telemetry
from app.config import get_settings
from app.errors import InvalidRequest, ServiceError, TooLarge, TooManyRequests, Unavailable
from app.prediction.client import RETRY_AFTER_SECONDS, Asking
from app.prediction.finding import find
from app.prediction.known import ServedModel
from app.prediction.routing import get_client
from app.prediction.schemas import MAX_INPUTS, Chat, Inputs, PredictRequest, QuestionInContext, TextPair, TokenizedText
from app.prediction.serving import check_takes_chats, look_at
from app.prediction.wire import Failure, Piece, Prediction
from app.spec.words import join_words
from app.storage import StoreUnavailable

MAX_TEXT_BYTES: Final = 2**20


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
    await _refuse_chats_of_others(request)
    asking = Asking(
        words=words,
        model_id=served.id,
        folder=_as_told(served.folder),
        manifest_sha256=served.manifest_sha256,
        timeout_seconds=get_settings().predict_timeout_seconds,
        parameters=request.parameters,
    )
    return inputs, asking, served


async def _refuse_chats_of_others(request: PredictRequest) -> None:
    """Raise InvalidRequest for messages to a model that was not tuned on chats."""
    items = request.inputs if isinstance(request.inputs, list) else [request.inputs]
    index = next((index for index, item in enumerate(items) if isinstance(item, Chat)), None)
    if index is not None:
        _, spec = await look_at(request.model)
        check_takes_chats(spec, param=f"inputs[{index}].messages")


def _as_told(folder: Path) -> str:
    """Predictors that share a store and no home have it below a home of their own."""
    return str(folder if storage.remote_store() is None else folder.relative_to(get_settings().artefacts_dir))


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
