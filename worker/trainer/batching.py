"""Which examples a forward sees, and in which order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from worker.trainer.forward import Forward
from worker.trainer.randomness import Stream, generator
from worker.trainer.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """The examples of one forward."""

    inputs: Any
    """As the job's ``Forward`` collates them."""
    labels: torch.Tensor
    """``[examples]``, int64."""
    num_tokens: int
    """Without padding."""
    num_examples_in_step: int
    """Examples of all micro-batches that make this optimizer step together."""
    closes_step: bool


class TrainBatches:
    """The training split in an order that is a function of (seed, epoch) alone."""

    def __init__(
        self, tokens: Tokens, labels: np.ndarray, *, forward: Forward, batch_size: int, accumulation: int, seed: int
    ) -> None:
        self._tokens, self._labels, self._forward = tokens, labels, forward
        self._batch_size, self._accumulation, self._seed = batch_size, accumulation, seed

    def of_epoch(self, epoch: int, *, start_at: int = 0) -> Iterator[MicroBatch]:
        """The micro-batches of an epoch from number ``start_at``, which must begin an optimizer step."""
        order = generator(self._seed, stream=Stream.ORDER, index=epoch).permutation(len(self._labels))
        num_batches = -(-len(order) // self._batch_size)
        step_size = self._batch_size * self._accumulation
        for number in range(start_at, num_batches):
            indices = order[number * self._batch_size : (number + 1) * self._batch_size]
            step_start = number // self._accumulation * step_size
            yield MicroBatch(
                inputs=self._forward.collate(self._tokens, indices),
                labels=torch.from_numpy(self._labels[indices]),
                num_tokens=int(self._tokens.lengths[indices].sum()),
                num_examples_in_step=min(len(order) - step_start, step_size),
                closes_step=(number + 1) % self._accumulation == 0 or number + 1 == num_batches,
            )
