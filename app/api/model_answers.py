"""What the routes below ``/models/{model_id}`` that ask a model share."""

import time
from collections.abc import Coroutine
from typing import Annotated, Any, Final

from fastapi import Path, Request
from fastapi.responses import JSONResponse

from app.api.errors import plain_error_responses
from app.api.presence import while_present
from app.prediction.huggingface import Answered

AskedModelId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=320,
        description="Id of a succeeded job, of a finished model, or of its checkpoint; `%2F` and `%3A` may stand for `/` and `:`",
        examples=["ftjob-0199f0c3"],
    ),
]
REFUSALS: Final = plain_error_responses(401, 404, 409, 413, 422, 429, 503)


async def answer_while_present(http: Request, asking: Coroutine[Any, Any, Answered]) -> JSONResponse:
    """The answer, with what it took in headers, in whole milliseconds as text-embeddings-inference tells them."""
    started = time.monotonic()
    answered = await while_present(http, asking)
    prediction = answered.prediction
    milliseconds = {
        "x-total-time": (time.monotonic() - started) * 1000,
        "x-tokenization-time": prediction.tokenization_ms,
        "x-queue-time": prediction.queue_ms,
        "x-inference-time": prediction.inference_ms,
    }
    headers = {name: str(round(value)) for name, value in milliseconds.items()}
    return JSONResponse(answered.body, headers=headers | {"x-compute-tokens": str(prediction.num_tokens)})
