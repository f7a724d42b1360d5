"""Questions to a model, as documents: many in portions, and a generated text as it comes."""

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from app.client.connection import Connection
from app.client.errors import BrokenOff, from_problem

PORTION: Final = 32
"""Inputs of one request: a large one keeps others waiting."""
SILENCE_SECONDS: Final = 120.0
"""The model may have to be loaded before it says anything."""

Document = dict[str, Any]


async def ask(
    connection: Connection, model: str, inputs: Sequence[Any], *, parameters: Document | None = None
) -> Document:
    """``POST /predict`` in portions; the answer as one, with ``usage`` and ``timings`` added up. Of nothing the server says that it is."""
    tokens, truncated, predictions = 0, [], []
    timings: dict[str, float] = {}
    answered_by = model
    for start in range(0, max(1, len(inputs)), PORTION):
        body: Document = {"model": model, "inputs": list(inputs[start : start + PORTION])}
        if parameters:
            body["parameters"] = parameters
        answer = await connection.post("/predict", body, is_repeatable=True)
        answered_by = answer["model"]
        predictions += answer["predictions"]
        tokens += answer["usage"]["tokens"]
        truncated += answer["usage"]["truncated"]
        for name, value in answer["timings"].items():
            timings[name] = round(timings.get(name, 0.0) + value, 3)
    return {
        "model": answered_by,
        "predictions": predictions,
        "usage": {"tokens": tokens, "truncated": truncated},
        "timings": timings,
    }


async def stream_answer(
    connection: Connection, model: str, given: Any, *, parameters: Document | None = None
) -> AsyncGenerator[tuple[str, Document], None]:
    """``("piece", …)`` as a text is written, and last ``("prediction", …)``, the whole answer. Raises TuneryError where it breaks off."""
    body: Document = {"model": model, "inputs": given, "stream": True}
    if parameters:
        body["parameters"] = parameters
    async with connection.stream("/predict", body=body, timeout_seconds=SILENCE_SECONDS) as stream:
        async for event in stream.events():
            if not event.data:
                continue
            document: Document = json.loads(event.data)
            match event.event:
                case "piece":
                    yield "piece", document
                case "prediction":
                    yield "prediction", document
                    return
                case "error":
                    raise from_problem(document.get("status", 503), document)
    raise BrokenOff("The stream ended in the middle of the text.", hint="Try again.")
