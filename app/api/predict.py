"""``POST /predict``: ask a finished model.

The route reads its body and writes its answer itself: FastAPI's own way takes longer than a small model does. What it declares is
what the documentation shows.
"""

import time
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from app.api.errors import error_responses
from app.api.presence import while_present
from app.api.text_stream import EVENT_STREAM, text_stream
from app.prediction import service, shapes
from app.prediction.known import ServedModel
from app.prediction.schemas import PredictRequest, PredictResponse
from app.prediction.wire import Prediction


async def _answer(http: Request) -> Response:
    body = await http.body()
    try:
        request = PredictRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from error
    if request.stream:
        return await while_present(http, text_stream(service.predict_in_pieces(request), last=answer_of))
    return await while_present(http, predict(request))


class _DirectRoute(APIRoute):
    """Without what FastAPI puts around a function, which is for dependencies."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.app = _respond


async def _respond(scope: Scope, receive: Receive, send: Send) -> None:
    response = await _answer(Request(scope, receive, send))
    await response(scope, receive, send)


router = APIRouter(tags=["predict"], route_class=_DirectRoute)


@router.post(
    "/predict",
    summary="Ask a finished model",
    response_model=PredictResponse,
    responses={
        200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}},
        **error_responses(401, 404, 409, 413, 422, 429, 503),
    },
)
async def predict(request: PredictRequest) -> Response:
    """Ask about one text, one pair, or up to 64 of them; each gets a list of labels, of entities or of answers, or a text.

    Headers ``x-total-time``, ``x-tokenization-time``, ``x-queue-time`` and ``x-inference-time`` are milliseconds. With
    ``stream`` a text that is generated comes as server-sent events: ``piece``, and last ``prediction`` or ``error``.
    """
    started = time.monotonic()
    served, answer = await service.predict(request)
    return Response(
        orjson.dumps(answer_of(served, answer)),
        media_type="application/json",
        headers={
            "x-total-time": f"{(time.monotonic() - started) * 1000:.3f}",
            "x-tokenization-time": f"{answer.tokenization_ms:.3f}",
            "x-queue-time": f"{answer.queue_ms:.3f}",
            "x-inference-time": f"{answer.inference_ms:.3f}",
        },
    )


def answer_of(served: ServedModel, answer: Prediction) -> dict[str, Any]:
    """What ``PredictResponse`` describes."""
    return {
        "model": served.id,
        "predictions": _predictions(answer),
        "usage": {"tokens": answer.num_tokens, "truncated": answer.truncated},
        "timings": {"queue_ms": round(answer.queue_ms, 3), "inference_ms": round(answer.inference_ms, 3)},
    }


def _predictions(answer: Prediction) -> list[list[dict[str, Any]]]:
    if answer.answers:
        return [shapes.answers(row) for row in answer.answers]
    if answer.texts:
        return [shapes.text(written) for written in answer.texts]
    if answer.entities:
        return [shapes.entities(row) for row in answer.entities]
    return [shapes.labels(row) for row in answer.predictions]
