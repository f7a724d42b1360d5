"""Requests to an encoder-decoder: the sources of one are answered together, while others wait."""

import time
from typing import TYPE_CHECKING

from app.prediction.wire import Prediction, Sampling
from worker.predictor.errors import OF_ONE_REQUEST
from worker.predictor.pending import Pending
from worker.predictor.replies import Reply, failure, refuse

if TYPE_CHECKING:
    from worker.predictor.engine import LoadedModel


def answer_sources(pending: Pending, model: "LoadedModel", *, reply: Reply) -> None:
    """Write an answer to each source, and reply. Stops when nobody waits for them any more."""
    started = time.monotonic()
    encoded = pending.encoded or []
    try:
        texts = model.generate(encoded, pending.request.sampling or Sampling(), stopped=pending.is_late)
    except OF_ONE_REQUEST as error:
        refuse(pending, error, reply=reply)
        return
    if pending.is_late():
        reply(pending, failure(pending, "deadline_exceeded", "it was not done in time: ask for fewer tokens"))
        return
    waited_seconds = started - pending.received_at - pending.tokenization_seconds
    reply(
        pending,
        Prediction(
            request_id=pending.request.request_id,
            predictions=[],
            entities=[],
            texts=texts,
            num_tokens=sum(item.num_tokens for item in encoded) + sum(found.num_tokens for found in texts),
            truncated=[item.truncated for item in encoded],
            tokenization_ms=pending.tokenization_seconds * 1000,
            queue_ms=max(0.0, waited_seconds * 1000),
            inference_ms=(time.monotonic() - started) * 1000,
        ),
    )
