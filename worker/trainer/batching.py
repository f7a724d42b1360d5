"""Which examples a forward sees, and in which order."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch

from worker.trainer.forward import Forward
from worker.trainer.randomness import Stream, generator
from worker.trainer.ranks import ALONE, Ranks
from worker.trainer.tokens import Tokens

BATCHES_SORTED_TOGETHER: Final = 50


@dataclass(frozen=True, kw_only=True)
class StepBatch:
    """The examples of one optimizer step."""

    micro_batches: list[np.ndarray]
    """Their numbers in the training split, as many to a forward as the job says; of several processes, this one's share."""
    sizes: list[int]
    """Examples of each micro-batch in all processes."""
    num_examples: int
    """Of all processes."""
    num_targets: int
    """What the step's loss is a mean over: its examples, or where words have labels, those words. At least 1. Of windows, whose
    tokens have logits but one loss together, the windows."""


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """The examples of one forward."""

    inputs: Any
    """As the job's ``Forward`` collates them."""
    labels: torch.Tensor
    """``[targets, …]``, as the task makes them."""
    num_tokens: int
    """Without padding."""
    weight: float = 1.0
    """What its loss counts: nothing, if it is there only because another process computes something in its place."""


class TrainBatches:
    """The training split in an order that is a function of (seed, epoch) alone."""

    def __init__(
        self,
        tokens: Tokens,
        labels: np.ndarray,
        *,
        forward: Forward,
        batch_size: int,
        accumulation: int,
        seed: int,
        by_length: bool,
        ranks: Ranks = ALONE,
    ) -> None:
        self._tokens, self._labels, self._forward = tokens, labels, forward
        self._batch_size, self._accumulation, self._seed = batch_size, accumulation, seed
        self._by_length, self._ranks = by_length, ranks
        self._filler = np.argmin(tokens.lengths, keepdims=True)

    def of_epoch(self, epoch: int, *, start_at: int = 0) -> Iterator[StepBatch]:
        """The optimizer steps of an epoch from number ``start_at``; the last may be short."""
        random = generator(self._seed, stream=Stream.ORDER, index=epoch)
        order = random.permutation(len(self._tokens))
        if self._by_length:
            order = self._grouped(order)
        micro_batches = [order[start : start + self._batch_size] for start in range(0, len(order), self._batch_size)]
        if self._by_length:
            *full, last = micro_batches
            micro_batches = [*(full[number] for number in random.permutation(len(full))), last]
        for start in range(start_at * self._accumulation, len(micro_batches), self._accumulation):
            group = micro_batches[start : start + self._accumulation]
            yield StepBatch(
                micro_batches=[self._ranks.share(part, lengths=self._tokens.lengths[part]) for part in group],
                sizes=[len(part) for part in group],
                num_examples=sum(map(len, group)),
                num_targets=max(1, sum(map(self._num_targets, group))),
            )

    def _num_targets(self, indices: np.ndarray) -> int:
        return len(indices if self._tokens.windows is not None else self._targets(indices))

    def _targets(self, indices: np.ndarray) -> np.ndarray:
        """Numbers in ``labels`` of what the loss of these examples is about."""
        words = self._tokens.words
        return indices if words is None else words.seen(indices).numbers

    def _grouped(self, order: np.ndarray) -> np.ndarray:
        """``order``, sorted by length within runs of many batches, as transformers' ``LengthGroupedSampler`` does it."""
        size = self._batch_size * min(BATCHES_SORTED_TOGETHER, max(1, len(order) // (4 * self._batch_size)))
        runs = [order[start : start + size] for start in range(0, len(order), size)]
        return np.concatenate([run[np.argsort(-self._tokens.lengths[run], kind="stable")] for run in runs])

    def micro_batches(self, step: StepBatch, *, parts: int) -> Iterator[MicroBatch]:
        """What goes through the model for a step, each of its micro-batches in so many ``parts``.

        Nothing of an empty share, or where the processes must compute as often as each other the shortest example, for nothing.
        """
        for share, size in zip(step.micro_batches, step.sizes, strict=True):
            for indices in self._ranks.pieces(share, parts=parts, of=size):
                yield (
                    self._micro_batch(indices)
                    if len(indices)
                    else replace(self._micro_batch(self._filler), num_tokens=0, weight=0.0)
                )

    def _micro_batch(self, indices: np.ndarray) -> MicroBatch:
        return MicroBatch(
            inputs=self._forward.collate(self._tokens, indices),
            labels=torch.from_numpy(self._labels[self._targets(indices)]),
            num_tokens=int(self._tokens.lengths[indices].sum()),
        )
