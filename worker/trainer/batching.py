"""Which examples a forward sees, in which order, and as which tensors."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from worker.trainer.randomness import Stream, generator
from worker.trainer.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """One forward: ``inputs`` are the model's keyword arguments, each ``[examples, longest]``."""

    inputs: dict[str, torch.Tensor]
    labels: torch.Tensor
    """``[examples]``, int64."""
    num_tokens: int
    """Without padding."""
    num_examples_in_step: int
    """Examples of all micro-batches that make this optimizer step together."""
    closes_step: bool

    @property
    def num_examples(self) -> int:
        return len(self.labels)


class Collator:
    """Pads the examples of a batch to the longest of them, on the right or left as the tokenizer does."""

    def __init__(self, *, pad_token_id: int, pad_token_type_id: int, padding_side: str) -> None:
        self._padding = {"input_ids": pad_token_id, "token_type_ids": pad_token_type_id}
        self._left = padding_side == "left"

    def __call__(self, tokens: Tokens, indices: np.ndarray) -> dict[str, torch.Tensor]:
        lengths = tokens.lengths[indices]
        width = int(lengths.max())
        columns = np.arange(width)
        mask = columns >= width - lengths[:, None] if self._left else columns < lengths[:, None]
        source = np.concatenate([np.arange(tokens.offsets[i], tokens.offsets[i + 1]) for i in indices])
        inputs = {}
        for name, flat in tokens.columns.items():
            padded = np.full(mask.shape, self._padding[name], dtype=np.int64)
            padded[mask] = flat[source]
            inputs[name] = torch.from_numpy(padded)
        return inputs | {"attention_mask": torch.from_numpy(mask.astype(np.int64))}


class TrainBatches:
    """The training split in an order that is a function of (seed, epoch) alone."""

    def __init__(
        self, tokens: Tokens, labels: np.ndarray, *, collate: Collator, batch_size: int, accumulation: int, seed: int
    ) -> None:
        self._tokens, self._labels, self._collate = tokens, labels, collate
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
                inputs=self._collate(self._tokens, indices),
                labels=torch.from_numpy(self._labels[indices]),
                num_tokens=int(self._tokens.lengths[indices].sum()),
                num_examples_in_step=min(len(order) - step_start, step_size),
                closes_step=(number + 1) % self._accumulation == 0 or number + 1 == num_batches,
            )
