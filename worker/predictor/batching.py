"""How texts of unequal length share forwards: sorted by length, cut by a token budget, so that little is padding."""

from collections.abc import Sequence
from typing import Final

PADDING_MULTIPLE: Final = 8
"""Rows are padded to a multiple of this: matrix units work in such tiles, and few shapes mean few compiled kernels."""


def padded_length(longest: int, *, limit: int) -> int:
    """Length of a batch whose longest row has ``longest`` tokens; never above ``limit`` unless a row itself is."""
    rounded = -(-longest // PADDING_MULTIPLE) * PADDING_MULTIPLE
    return max(longest, min(rounded, limit))


def token_budget_batches(lengths: Sequence[int], *, max_tokens: int) -> list[list[int]]:
    """Return indices into ``lengths`` by batch, longest first; rows × longest row of each batch is within the budget.

    A row longer than the budget is a batch of its own.
    """
    batches: list[list[int]] = []
    batch: list[int] = []
    width = 0
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=True):
        if batch and width * (len(batch) + 1) > max_tokens:
            batches.append(batch)
            batch = []
        if not batch:
            width = padded_length(lengths[index], limit=max(lengths[index], max_tokens))
        batch.append(index)
    if batch:
        batches.append(batch)
    return batches
