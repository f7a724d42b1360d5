"""The requests whose texts one model is writing: begun, told piece by piece if so wanted, answered when the last text ends."""

import time
from dataclasses import dataclass

from app.prediction.wire import Piece, Prediction, Sampling
from worker.predictor.choosing import NotFiniteError
from worker.predictor.errors import OF_ONE_REQUEST, PromptTooLongError
from worker.predictor.generation import TextGenerator
from worker.predictor.pending import Pending
from worker.predictor.replies import Reply, failure, refuse
from worker.predictor.writing import Writing


@dataclass(frozen=True, kw_only=True)
class _Running:
    pending: Pending
    writings: list[Writing]


class GenerationRequests:
    """For use by one thread; made when a model is first asked and dropped when it has nothing to write."""

    def __init__(self, generator: TextGenerator, *, max_tokens: int, reply: Reply) -> None:
        self._generator = generator
        self._batch = generator.new_batch(max_tokens=max_tokens)
        self._reply = reply
        self._running: list[_Running] = []

    @property
    def pending(self) -> list[Pending]:
        """Requests that are not answered yet."""
        return [running.pending for running in self._running]

    @property
    def num_wanted(self) -> int:
        """Texts that may be added now."""
        return self._batch.num_wanted

    @property
    def reserved_bytes(self) -> int:
        return self._batch.reserved_bytes

    def add(self, pending: Pending) -> None:
        """Begin the texts of a request that was tokenised, or refuse it."""
        request = pending.request
        try:
            writings = self._generator.begin(
                pending.encoded or [], request.sampling or Sampling(), streams=request.stream
            )
        except PromptTooLongError as error:
            self._reply(pending, failure(pending, "invalid_input", str(error), param=f"inputs[{error.index}]"))
        except OF_ONE_REQUEST as error:
            refuse(pending, error, reply=self._reply)
        else:
            self._batch.add(writings)
            self._running.append(_Running(pending=pending, writings=writings))

    def turn(self, *, max_bytes: int) -> None:
        """Let go of what nobody waits for, take one step, and answer what is done."""
        self._running = [running for running in self._running if self._is_wanted(running)]
        self._batch.turn(max_bytes=max_bytes)
        self._running = [running for running in self._running if not self._is_answered(running)]

    def shut_down(self) -> None:
        """Tell everybody that there will be no answer."""
        for pending in self.pending:
            self._reply(pending, failure(pending, "shutting_down", "the predictor is shutting down"))

    def _is_wanted(self, running: _Running) -> bool:
        pending = running.pending
        if pending.is_late():
            message = "it was not done in time: ask for fewer tokens"
            self._reply(pending, failure(pending, "deadline_exceeded", message))
        elif not pending.is_cancelled:
            return True
        _call_off(running)
        return False

    def _is_answered(self, running: _Running) -> bool:
        """Send what there is to send. True if that was the last of it."""
        pending, writings = running.pending, running.writings
        error = next((writing.error for writing in writings if writing.error is not None), None)
        if error is not None:
            _call_off(running)
            if isinstance(error, NotFiniteError):
                self._reply(pending, failure(pending, "prediction_failed", str(error)))
            else:
                refuse(pending, error, reply=self._reply)
            return True
        if pending.request.stream and (tokens := writings[0].piece()):
            self._reply(pending, Piece(request_id=pending.request.request_id, tokens=tokens))
        if any(writing.finish_reason is None for writing in writings):
            return False
        self._reply(pending, _prediction(running))
        return True


def _call_off(running: _Running) -> None:
    for writing in running.writings:
        writing.is_called_off = True


def _prediction(running: _Running) -> Prediction:
    pending = running.pending
    encoded = pending.encoded or []
    texts = [writing.result() for writing in running.writings]
    begun_at = min(writing.begun_at for writing in running.writings)
    waited_seconds = begun_at - pending.received_at - pending.tokenization_seconds
    return Prediction(
        request_id=pending.request.request_id,
        predictions=[],
        entities=[],
        texts=texts,
        num_tokens=sum(item.num_tokens for item in encoded) + sum(found.num_tokens for found in texts),
        truncated=[False for _ in encoded],
        tokenization_ms=pending.tokenization_seconds * 1000,
        queue_ms=max(0.0, waited_seconds * 1000),
        inference_ms=(time.monotonic() - begun_at) * 1000,
    )
