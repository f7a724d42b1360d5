"""What a batch of requests is answered, each as soon as the model has computed its texts: the others may take a while yet."""

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.prediction.wire import Entity, LabelScore, Prediction
from worker.predictor.decode import FUNCTIONS, label_scores, scores_of
from worker.predictor.entities import served_entities
from worker.predictor.questions import found_answers
from worker.predictor.replies import OF_ONE_REQUEST, Reply, failure, refuse
from worker.predictor.scheduler import Pending

if TYPE_CHECKING:
    from worker.predictor.encoded import EncodedText
    from worker.predictor.engine import LoadedModel


def answer(batch: Sequence[Pending], model: "LoadedModel", *, max_tokens: int, reply: Reply) -> None:
    """Compute what is asked of a model that writes no text, and answer all of it. ``reply`` is called by one thread at a time."""
    answers = _Answers(batch, model, reply=reply)
    try:
        model.forward_each(answers.parts, answers.take, max_tokens=max_tokens)
    except OF_ONE_REQUEST as error:
        if len(batch) == 1:
            refuse(batch[0], error, reply=reply)
            return
        for pending in answers.missing:
            answer([pending], model, max_tokens=max_tokens, reply=reply)


class _Answers:
    """Of one batch. Several threads may bring the rows of its parts."""

    def __init__(self, batch: Sequence[Pending], model: "LoadedModel", *, reply: Reply) -> None:
        self.parts: list[EncodedText] = []
        """Of all texts of all requests, one behind the other."""
        self._batch, self._model, self._reply = batch, model, reply
        self._started = time.monotonic()
        self._places: list[tuple[int, int]] = []
        """The number of the request that each part is of, and that of the part in it."""
        self._rows: list[list[NDArray[np.float32] | None]] = []
        self._num_missing: list[int] = []
        self._lock = threading.Lock()
        for number, pending in enumerate(batch):
            own = [part for item in pending.encoded or () for part in item.parts]
            self.parts += own
            self._places += [(number, place) for place in range(len(own))]
            self._rows.append([None] * len(own))
            self._num_missing.append(len(own))

    @property
    def missing(self) -> list[Pending]:
        """Those that have no answer yet."""
        return [pending for pending, count in zip(self._batch, self._num_missing, strict=True) if count]

    def take(self, number: int, rows: NDArray[np.float32]) -> None:
        """The rows of a part; with the last one of a request that is answered."""
        request, place = self._places[number]
        with self._lock:
            self._rows[request][place] = rows
            if self._num_missing[request] == 1:
                found = [rows for rows in self._rows[request] if rows is not None]
                self._answer(self._batch[request], np.concatenate(found))
            self._num_missing[request] -= 1

    def _answer(self, pending: Pending, rows: NDArray[np.float32]) -> None:
        model, request, encoded = self._model, pending.request, pending.encoded or []
        if not np.isfinite(rows[_seen(pending)]).all():
            self._reply(pending, failure(pending, "prediction_failed", "the model's outputs are not finite numbers"))
            return
        waited_seconds = self._started - pending.received_at - pending.tokenization_seconds
        self._reply(
            pending,
            Prediction(
                request_id=request.request_id,
                predictions=[] if model.tags_words or model.finds_answers else _labels(pending, rows, model),
                entities=_entities(pending, rows, model) if model.tags_words else [],
                texts=[],
                answers=found_answers(request, encoded, rows, spec=model.spec) if model.finds_answers else [],
                num_tokens=sum(item.num_tokens for item in encoded),
                truncated=[item.truncated for item in encoded],
                tokenization_ms=pending.tokenization_seconds * 1000,
                queue_ms=max(0.0, waited_seconds * 1000),
                inference_ms=(time.monotonic() - self._started) * 1000,
            ),
        )


def _seen(pending: Pending) -> NDArray[np.bool_]:
    """Which of its rows the model answers; those of words that it does not see are NaN."""
    return np.concatenate([
        [True] * item.num_rows if item.first_tokens is None else np.array(item.first_tokens, dtype=np.int64) >= 0
        for item in pending.encoded or ()
    ]).astype(bool)  # fmt: skip


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
