"""Texts of a model that cannot write several in common, such as one that keeps a state in place of keys and values.

Each turn is one token of one text, from a forward over all of it: slow, but as right as the model's own forward.
"""

import time
from collections import deque
from collections.abc import Iterable
from typing import Final

import torch

from worker.predictor.joint_forward import ERRORS, JointForward
from worker.predictor.writing import Writing, give

MOST_TEXTS: Final = 16
"""Texts that are written in turn."""


class OneByOne:
    """Stands in for a RunningBatch."""

    reserved_bytes = 0

    def __init__(self, forward: JointForward) -> None:
        self._forward = forward
        self._texts: deque[Writing] = deque()

    @property
    def num_wanted(self) -> int:
        return max(0, MOST_TEXTS - sum(not writing.is_over for writing in self._texts))

    def add(self, writings: Iterable[Writing]) -> None:
        self._texts.extend(writings)

    @torch.inference_mode()
    def turn(self, *, max_bytes: int) -> None:  # noqa: ARG002  nothing is kept
        """One token of the text that has waited longest for one."""
        while self._texts:
            writing = self._texts.popleft()
            if not writing.is_over:
                self._write(writing)
                self._texts.append(writing)
                return

    def _write(self, writing: Writing) -> None:
        writing.begun_at = min(writing.begun_at, time.monotonic())
        try:
            logits = self._forward.alone(torch.tensor([writing.read]))
            give([writing], logits)
        except ERRORS as error:
            writing.error = error
