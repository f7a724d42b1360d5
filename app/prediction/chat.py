"""Models that were tuned on chats, asked as OpenAI's chat completions are, by the clients that read a model's URL."""

import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictBool, StrictInt, model_validator

from app import ids
from app.prediction import service
from app.prediction.huggingface import Answered
from app.prediction.huggingface_schemas import without_nulls
from app.prediction.known import ServedModel
from app.prediction.schemas import Chat, ChatMessage, PredictParameters, PredictRequest, Text
from app.prediction.serving import check_takes_chats, look_at
from app.prediction.wire import Piece, Prediction

StopText = Annotated[Text, Field(min_length=1, max_length=256)]


class TextPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["text"]
    text: Text


class ChatInput(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Annotated[Text, Field(min_length=1, max_length=64)]
    content: Text | list[TextPart]

    _drop_nulls = model_validator(mode="before")(without_nulls)


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    include_usage: StrictBool = False


class TextFormat(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["text"]


class ChatCompletionRequest(BaseModel):
    """The messages so far, and how to go on. Of some parameters only the value is taken that changes nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    messages: Annotated[list[ChatInput], Field(min_length=1, max_length=1000)]
    max_tokens: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = None
    max_completion_tokens: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = None
    """The new name of ``max_tokens``."""
    temperature: Annotated[FiniteFloat, Field(ge=0, le=100)] | None = None
    """Above 0 tokens are drawn by their probability; unset, or 0: the most probable one each time."""
    top_p: Annotated[FiniteFloat, Field(gt=0, le=1)] | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=16)] | None = None
    seed: Annotated[StrictInt, Field(ge=0, le=2**63 - 1)] | None = None
    stream: StrictBool = False
    stream_options: StreamOptions = StreamOptions()
    response_format: TextFormat | None = None
    n: Literal[1] | None = None
    logprobs: Literal[False] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0, strict=True)] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0, strict=True)] | None = None
    user: Text | None = None
    """Changes nothing."""
    model: Any = None
    """Changes nothing: the path names the model."""

    _drop_nulls = model_validator(mode="before")(without_nulls)


class NamedChatCompletionRequest(ChatCompletionRequest):
    """The same where no path names the model."""

    model: Annotated[Text, Field(min_length=1, max_length=320)]
    """Id of a succeeded job, of a finished model, or of its checkpoint."""


async def complete(model: str, request: ChatCompletionRequest) -> Answered:
    """The assistant's next message. Raises as ``app.prediction.service.predict`` does, and InvalidRequest for a model without chats."""
    question = await _question(model, request)
    served, prediction = await service.predict(question)
    (found,) = prediction.texts
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": found.text},
        "finish_reason": found.finish_reason,
        "logprobs": None,
    }
    body = _envelope("chat.completion", served) | {"choices": [choice], "usage": _usage(prediction)}
    return Answered(body=body, prediction=prediction)


async def write(model: str, request: ChatCompletionRequest) -> AsyncGenerator[dict[str, Any]]:
    """The same as chunks. Raises as ``complete`` does, before the first or between any two; closing it stops the model."""
    question = await _question(model, request)
    served, _ = await look_at(model)
    envelope = _envelope("chat.completion.chunk", served)
    answers = service.predict_in_pieces(question)
    async with contextlib.aclosing(answers):
        async for answer in answers:
            if isinstance(answer, Piece):
                text = "".join(token.text for token in answer.tokens)
                yield envelope | {"choices": [_delta({"role": "assistant", "content": text})]}
            else:
                (found,) = answer[1].texts
                yield envelope | {"choices": [_delta({}, finish_reason=found.finish_reason)]}
                if request.stream_options.include_usage:
                    yield envelope | {"choices": [], "usage": _usage(answer[1])}


async def _question(model: str, request: ChatCompletionRequest) -> PredictRequest:
    _, spec = await look_at(model)
    check_takes_chats(spec, param="messages")
    draws = request.temperature != 0 and (request.temperature is not None or request.top_p is not None)
    parameters = PredictParameters(
        max_new_tokens=request.max_completion_tokens or request.max_tokens,
        do_sample=draws or None,
        temperature=request.temperature or None,
        top_p=request.top_p,
        stop=[request.stop] if isinstance(request.stop, str) else request.stop,
        seed=request.seed,
    )
    messages = [ChatMessage(role=message.role, content=_text_of(message)) for message in request.messages]
    return PredictRequest.model_construct(
        model=model, inputs=Chat(messages=messages), parameters=parameters, stream=request.stream
    )


def _text_of(message: ChatInput) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(part.text for part in message.content)


def _envelope(kind: str, served: ServedModel) -> dict[str, Any]:
    return {
        "id": ids.new_id("chatcmpl"),
        "object": kind,
        "created": int(time.time()),
        "model": served.id,
        "system_fingerprint": served.manifest_sha256,
    }


def _delta(delta: dict[str, str], *, finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}


def _usage(prediction: Prediction) -> dict[str, int]:
    (found,) = prediction.texts
    return {
        "prompt_tokens": prediction.num_tokens - found.num_tokens,
        "completion_tokens": found.num_tokens,
        "total_tokens": prediction.num_tokens,
    }
