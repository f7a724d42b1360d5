"""A turn of a model that writes no text: what waits for it is taken in micro-batches, by whichever of its lanes is free.

What comes meanwhile is taken too, as long as nobody else's request has waited longer. Each request is answered as soon as the last of
its texts is computed; one of many texts may be begun in one turn and ended in a later one.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from worker.predictor.answering import answer_of
from worker.predictor.intake import ready
from worker.predictor.parts import MOST_CHOICES, Choose, Part
from worker.predictor.pending import Pending
from worker.predictor.replies import Reply, refuse
from worker.predictor.scheduler import Scheduler, Turn

if TYPE_CHECKING:
    from worker.predictor.encoded import EncodedText


def classify(turn: Turn, scheduler: Scheduler, *, max_tokens: int, reply: Reply) -> None:
    """Answer what waits for the model of ``turn``, until nothing does or others have waited longer."""
    turn.model.compute(_WaitingParts(turn, scheduler, max_tokens=max_tokens, reply=reply), max_tokens=max_tokens)


@dataclass(eq=False, kw_only=True)
class Progress:
    """What has become of one request's texts."""

    parts: "list[EncodedText]"
    left: list[int]
    """Numbers of the parts that nobody has taken yet."""
    rows: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    """Of the parts that are computed."""
    begun_at: float
    """When the first of them were taken, by the monotonic clock."""
    taken_at: float
    """When the last ones were."""
    is_answered: bool = False


class _WaitingParts:
    """Of the requests in a model's queue."""

    def __init__(self, turn: Turn, scheduler: Scheduler, *, max_tokens: int, reply: Reply) -> None:
        self._turn, self._key, self._model = turn, turn.key, turn.model
        self._scheduler, self._reply = scheduler, reply
        self._max_tokens = max_tokens
        self._num_due = turn.model.tokens_at_once or max_tokens
        """Tokens of what waited already that may be taken whoever else waits: every lane is to have something to do."""
        self._is_over = False
        self._answering = threading.Lock()

    def take(self, choose: Choose) -> list[Part]:
        if not self._scheduler.may_go_on(self._turn, is_due=self._num_due > 0):
            self._is_over = True
        if self._is_over:
            return []
        taken = self._scheduler.take(self._key, at_most=MOST_CHOICES)
        wanted = ready(taken, self._model, reply=self._reply)
        now = time.monotonic()
        requests = [
            (pending, progress)
            for pending in wanted
            if not (progress := pending.progress or _beginning(pending, now)).is_answered
        ]
        offered = self._offered(requests)
        chosen = [offered[place] for place in choose([encoded.num_tokens for *_, encoded in offered])]
        for pending, progress, number, _ in chosen:
            pending.progress = progress
            progress.taken_at = now
            progress.left.remove(number)
        self._scheduler.put_back([pending for pending, progress in requests if progress.left])
        if chosen:
            self._scheduler.counts.batch([encoded for *_, encoded in chosen])
        self._num_due -= sum([encoded.num_tokens for *_, encoded in chosen])
        return [
            Part(encoded=encoded, take=partial(self._take, pending, progress, number), owner=pending)
            for pending, progress, number, encoded in chosen
        ]

    def are_left(self) -> bool:
        return not self._is_over and self._scheduler.has_waiting(self._key)

    def wait(self, until: Callable[[], bool]) -> bool:
        self._scheduler.wait_for(until)
        return True

    def wake(self) -> None:
        self._scheduler.wake()

    def failed(self, part: Part, error: Exception) -> None:
        pending = part.owner
        assert isinstance(pending, Pending)
        assert pending.progress is not None
        with self._answering:
            if not pending.progress.is_answered and not pending.is_cancelled:
                pending.progress.is_answered = True
                refuse(pending, error, reply=self._reply)

    def _offered(
        self, requests: Sequence[tuple[Pending, Progress]]
    ) -> "list[tuple[Pending, Progress, int, EncodedText]]":
        """The oldest parts that wait, as many as a forward takes, and one at least."""
        offered: list[tuple[Pending, Progress, int, EncodedText]] = []
        num_tokens = 0
        for pending, progress in requests:
            for number in progress.left:
                encoded = progress.parts[number]
                num_tokens += encoded.num_tokens
                if offered and num_tokens > self._max_tokens:
                    return offered
                offered.append((pending, progress, number, encoded))
        return offered

    def _take(self, pending: Pending, progress: Progress, number: int, rows: NDArray[np.float32]) -> None:
        """The rows of a part; with the last one of a request that is answered."""
        with self._answering:
            progress.rows[number] = rows
            if progress.is_answered or len(progress.rows) < len(progress.parts):
                return
            found = np.concatenate([progress.rows[place] for place in range(len(progress.parts))])
            answer = answer_of(pending, found, self._model, begun_at=progress.begun_at)
            progress.is_answered = True
            self._reply(pending, answer)


def _beginning(pending: Pending, now: float) -> Progress:
    parts = [part for item in pending.encoded or () for part in item.parts]
    return Progress(parts=parts, left=[*range(len(parts))], begun_at=now, taken_at=now)
