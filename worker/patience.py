"""When a trainer that lives is given up: it says nothing, gets no further, or has had all the time that it may have."""

import time
from dataclasses import dataclass
from typing import Final

from app.spec.messages import AliveMessage, Message, PhaseMessage

BUSY_PHASES: Final = frozenset({"training", "evaluating", "saving", "predicting"})
"""Those in which the trainer says how it gets on. In the others it may wait for a download."""


@dataclass(frozen=True, kw_only=True)
class GivenUp:
    """Why a trainer was killed."""

    code: str
    message: str
    hint: str | None
    for_good: bool
    """Another attempt would not help."""
    is_loss: bool = False
    """It was not the trainer's doing: another worker was lost, and the attempt with it."""


class Patience:
    """Of a supervisor with its trainer. Durations are seconds on this machine's monotonic clock."""

    def __init__(self, *, stall_seconds: float, max_runtime_seconds: float | None, ran_before_seconds: float) -> None:
        self._stall_seconds, self._max_runtime_seconds = stall_seconds, max_runtime_seconds
        started_at = time.monotonic()
        self._heard_at = self._moved_at = started_at
        self._counts_from = started_at - ran_before_seconds
        self._phase: str | None = None

    def hear(self, message: Message) -> None:
        now = time.monotonic()
        self._heard_at = now
        if isinstance(message, AliveMessage):
            self._moved_at = max(self._moved_at, now - message.idle_seconds)
            return
        self._moved_at = now
        if isinstance(message, PhaseMessage):
            self._phase = message.phase

    def verdict(self) -> GivenUp | None:
        """None: go on waiting."""
        now = time.monotonic()
        limit = self._max_runtime_seconds
        if limit is not None and now - self._counts_from > limit:
            return GivenUp(
                code="max_runtime_exceeded",
                message=f"The job ran for longer than its max_runtime_seconds ({limit:g}).",
                hint="A retry begins anew: give it a larger max_runtime_seconds, or stop it in time, which keeps the best model.",
                for_good=True,
            )
        since = self._moved_at if self._phase in BUSY_PHASES else self._heard_at
        if now - since > self._stall_seconds:
            return GivenUp(
                code="trainer_stalled",
                message=f"The trainer got no further for {self._stall_seconds:g} seconds and was killed.",
                hint="Its log says where it was. If single steps take so long, raise TUNERY_STALL_SECONDS.",
                for_good=False,
            )
        return None
