"""A model's own URL, as Hugging Face's clients read it: ``InferenceClient(model=URL)``, huggingface.js."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from app.api.data_stream import data_stream
from app.api.errors import plain_error_responses
from app.api.model_answers import REFUSALS, AskedModelId, answer_while_present
from app.api.presence import while_present
from app.api.text_stream import EVENT_STREAM
from app.prediction import huggingface, serving
from app.prediction.huggingface_schemas import HuggingFaceRequest
from app.prediction.serving import EndpointInfo

router = APIRouter(prefix="/models", tags=["Hugging Face"])


class EndpointHealth(BaseModel):
    status: Literal["ok"] = "ok"


@router.get(
    "/{model_id:path}/info",
    summary="What may be asked of a model",
    responses=plain_error_responses(401, 404, 409, 422, 503),
)
async def get_endpoint_info(model_id: AskedModelId) -> EndpointInfo:
    return await serving.describe(model_id)


@router.get(
    "/{model_id:path}/health",
    summary="Whether a model can be asked",
    responses=plain_error_responses(401, 404, 409, 422, 503),
)
async def check_endpoint_health(model_id: AskedModelId) -> EndpointHealth:
    await serving.check_health(model_id)
    return EndpointHealth()


@router.post(
    "/{model_id:path}",
    summary="Ask a model as Hugging Face's clients do",
    response_model=None,
    responses={
        200: {
            "description": "In the shape that the clients expect of the model's task",
            "content": {
                "application/json": {"schema": {"anyOf": [{"type": "array"}, {"type": "object"}]}},
                EVENT_STREAM: {"schema": {"type": "string"}},
            },
        },
        **REFUSALS,
    },
)
async def ask_model(model_id: AskedModelId, request: HuggingFaceRequest, http: Request) -> Response:
    """Scores of labels, entities, answers or texts. With ``stream`` a text comes token by token, as server-sent events."""
    if request.stream:
        return await while_present(http, data_stream(huggingface.write(model_id, request)))
    return await answer_while_present(http, huggingface.ask(model_id, request))
