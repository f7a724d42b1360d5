"""Chats with a model at its own URL: where ``InferenceClient(model=URL).chat_completion`` asks."""

from fastapi import APIRouter, Request, Response

from app.api.data_stream import DONE, data_stream
from app.api.model_answers import REFUSALS, AskedModelId, answer_while_present
from app.api.presence import while_present
from app.api.text_stream import EVENT_STREAM
from app.prediction import chat
from app.prediction.chat import ChatCompletionRequest

router = APIRouter(prefix="/models", tags=["Hugging Face"])


@router.post(
    "/{model_id:path}/v1/chat/completions",
    summary="Go on with a chat",
    response_model=None,
    responses={
        200: {
            "description": "The assistant's next message, as OpenAI's chat completions have it",
            "content": {
                "application/json": {"schema": {"type": "object"}},
                EVENT_STREAM: {"schema": {"type": "string"}},
            },
        },
        **REFUSALS,
    },
)
async def complete_chat(model_id: AskedModelId, request: ChatCompletionRequest, http: Request) -> Response:
    """Of models that were tuned on chats. The path names the model, whatever ``model`` says."""
    if request.stream:
        return await while_present(http, data_stream(chat.write(model_id, request), end=DONE))
    return await answer_while_present(http, chat.complete(model_id, request))
