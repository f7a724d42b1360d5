"""``POST /predict``: ask a finished model."""

import time

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from app.api.errors import error_responses
from app.api.presence import while_present
from app.api.text_stream import EVENT_STREAM, text_stream
from app.prediction import service
from app.prediction.schemas import (
    ContextAnswer,
    EntityGroup,
    GeneratedText,
    LabelScore,
    PredictRequest,
    PredictResponse,
    Timings,
    Usage,
)
from app.prediction.wire import Prediction

router = APIRouter(tags=["predict"])


@router.post(
    "/predict",
    summary="Ask a finished model",
    response_model=PredictResponse,
    responses={
        200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}},
        **error_responses(401, 404, 409, 413, 422, 429, 503),
    },
)
async def predict(request: PredictRequest, response: Response, http: Request) -> PredictResponse | StreamingResponse:
    """Ask about one text, one pair, or up to 64 of them; each gets a list of labels, of entities or of answers, or a text.

    Headers ``x-total-time``, ``x-tokenization-time``, ``x-queue-time`` and ``x-inference-time`` are milliseconds. With
    ``stream`` a text that is generated comes as server-sent events: ``piece``, and last ``prediction`` or ``error``.
    """
    if request.stream:
        return await while_present(http, text_stream(service.predict_in_pieces(request), last=answer_of))
    started = time.monotonic()
    served, answer = await while_present(http, service.predict(request))
    milliseconds = {
        "x-total-time": (time.monotonic() - started) * 1000,
        "x-tokenization-time": answer.tokenization_ms,
        "x-queue-time": answer.queue_ms,
        "x-inference-time": answer.inference_ms,
    }
    response.headers.update({name: f"{value:.3f}" for name, value in milliseconds.items()})
    return answer_of(served, answer)


def answer_of(served: service.ServedModel, answer: Prediction) -> PredictResponse:
    return PredictResponse(
        model=served.id,
        predictions=_predictions(answer),
        usage=Usage(tokens=answer.num_tokens, truncated=answer.truncated),
        timings=Timings(queue_ms=round(answer.queue_ms, 3), inference_ms=round(answer.inference_ms, 3)),
    )


def _predictions(
    answer: Prediction,
) -> list[list[LabelScore]] | list[list[EntityGroup]] | list[list[GeneratedText]] | list[list[ContextAnswer]]:
    if answer.answers:
        return _answers(answer)
    return _texts(answer) if answer.texts else _entities(answer) if answer.entities else _labels(answer)


def _labels(answer: Prediction) -> list[list[LabelScore]]:
    return [[LabelScore(label=label, score=score) for label, score in row] for row in answer.predictions]


def _entities(answer: Prediction) -> list[list[EntityGroup]]:
    return [
        [
            EntityGroup(entity_group=found.kind, score=found.score, word=found.text, start=found.start, end=found.end)
            for found in row
        ]
        for row in answer.entities
    ]


def _texts(answer: Prediction) -> list[list[GeneratedText]]:
    return [
        [GeneratedText(generated_text=found.text, num_tokens=found.num_tokens, finish_reason=found.finish_reason)]
        for found in answer.texts
    ]


def _answers(answer: Prediction) -> list[list[ContextAnswer]]:
    return [
        [ContextAnswer(answer=found.text, score=found.score, start=found.start, end=found.end) for found in row]
        for row in answer.answers
    ]
