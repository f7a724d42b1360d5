"""A request on its way through the predictor, and the model that it is for."""

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from app.prediction.wire import Predict

if TYPE_CHECKING:
    from worker.predictor.classifying import Progress
    from worker.predictor.encoded import EncodedText


@dataclass(frozen=True, kw_only=True)
class ModelKey:
    """One published model: its folder, and the hash that its manifest must have."""

    folder: Path
    manifest_sha256: str

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """A request is looked up in thirty places."""
        return hash((self.folder, self.manifest_sha256))


@dataclass(eq=False, kw_only=True)
class Pending:
    """A request that waits. Instants are monotonic seconds."""

    identity: bytes
    """Of the connection that asked."""
    request: Predict
    key: ModelKey
    received_at: float
    encoded: "list[EncodedText] | None" = None
    tokenization_seconds: float = 0.0
    progress: "Progress | None" = None
    """Of a request to a classifier that has been taken: its texts that are computed."""
    is_cancelled: bool = False
    """Nobody wants the answer; set while its texts are computed, from another thread."""

    @property
    def num_texts(self) -> int:
        return len(self.request.inputs)

    @property
    def waits_since(self) -> float:
        """One that is begun waits since some of its texts were taken, so that it does not hold up others until its last."""
        return self.received_at if self.progress is None else self.progress.taken_at

    def is_late(self, now: float | None = None) -> bool:
        return (time.monotonic() if now is None else now) > self.received_at + self.request.timeout_ms / 1000
