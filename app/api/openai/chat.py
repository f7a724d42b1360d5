"""``client.chat.completions``: the body names the model, one that was tuned on chats."""

from typing import Any

from fastapi import APIRouter, Request, Response

from app.api.data_stream import DONE, data_stream
from app.api.errors import error_responses, problem_body
from app.api.model_answers import answer_while_present
from app.api.presence import while_present
from app.api.text_stream import EVENT_STREAM
from app.errors import ServiceError
from app.prediction import chat
from app.prediction.chat import NamedChatCompletionRequest

PATH = "/v1/chat/completions"

router = APIRouter(tags=["OpenAI"])


@router.post(
    PATH,
    summary="Go on with a chat",
    response_model=None,
    responses={
        200: {
            "description": "The assistant's next message, or with `stream` its pieces",
            "content": {
                "application/json": {"schema": {"type": "object"}},
                EVENT_STREAM: {"schema": {"type": "string"}},
            },
        },
        **error_responses(401, 404, 409, 413, 422, 429, 503),
    },
)
async def complete_chat(request: NamedChatCompletionRequest, http: Request) -> Response:
    if request.stream:
        stream = data_stream(chat.write(request.model, request), end=DONE, broken_off=_as_event)
        return await while_present(http, stream)
    return await answer_while_present(http, chat.complete(request.model, request))


def _as_event(error: ServiceError) -> dict[str, Any]:
    return {"error": problem_body(error, instance=PATH)["error"]}
