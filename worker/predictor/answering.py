"""What a request is answered once the model has computed all of its texts."""

import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.prediction.wire import Answer, Entity, LabelScore, Prediction
from worker.predictor.decode import FUNCTIONS, label_scores, scores_of
from worker.predictor.entities import served_entities
from worker.predictor.pending import Pending
from worker.predictor.questions import found_answers
from worker.predictor.replies import failure

if TYPE_CHECKING:
    from worker.predictor.engine import LoadedModel


def answer_of(pending: Pending, rows: NDArray[np.float32], model: "LoadedModel", *, begun_at: float) -> Answer:
    """From the logits of all of its texts, as ``LoadedModel.forward`` has them, which were begun at an instant of the monotonic clock."""
    request, encoded = pending.request, pending.encoded or []
    if not np.isfinite(_answered(rows, pending)).all():
        return failure(pending, "prediction_failed", "the model's outputs are not finite numbers")
    waited_seconds = begun_at - pending.received_at - pending.tokenization_seconds
    return Prediction(
        request_id=request.request_id,
        predictions=[] if model.tags_words or model.finds_answers else _labels(pending, rows, model),
        entities=_entities(pending, rows, model) if model.tags_words else [],
        texts=[],
        answers=found_answers(request, encoded, rows, spec=model.spec) if model.finds_answers else [],
        num_tokens=sum(item.num_tokens for item in encoded),
        truncated=[item.truncated for item in encoded],
        tokenization_ms=pending.tokenization_seconds * 1000,
        queue_ms=max(0.0, waited_seconds * 1000),
        inference_ms=(time.monotonic() - begun_at) * 1000,
    )


def _answered(rows: NDArray[np.float32], pending: Pending) -> NDArray[np.float32]:
    """Those that the model answers; those of words that it does not see are NaN."""
    encoded = pending.encoded or ()
    if all(item.first_tokens is None for item in encoded):
        return rows
    are_seen = [
        [True] * item.num_rows if item.first_tokens is None else np.array(item.first_tokens, dtype=np.int64) >= 0
        for item in encoded
    ]
    answered: NDArray[np.float32] = rows[np.concatenate(are_seen).astype(bool)]
    return answered


def _labels(pending: Pending, rows: np.ndarray, model: "LoadedModel") -> list[list[LabelScore]]:
    request = pending.request
    return label_scores(
        rows,
        labels=model.spec.labels,
        function_to_apply=request.function_to_apply or FUNCTIONS[model.spec.problem_type],
        top_k=request.top_k,
        threshold=request.threshold,
    )


def _entities(pending: Pending, rows: np.ndarray, model: "LoadedModel") -> list[list[Entity]]:
    scores = scores_of(rows, function_to_apply=FUNCTIONS[model.spec.problem_type])
    encoded = pending.encoded or []
    by_text = np.split(scores, np.cumsum([item.num_rows for item in encoded])[:-1])
    return [
        served_entities(
            scores_of_text,
            text=text,
            words=item.words or [],
            labels=model.spec.labels,
            threshold=pending.request.threshold,
        )
        for (text, _), item, scores_of_text in zip(pending.request.inputs, encoded, by_text, strict=True)
    ]
