"""Tensors that came out of one product, or go back into one, taken as the whole that they are in memory."""

from collections.abc import Sequence

import torch


def joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Side by side along the last dimension; without a copy where they lie so in memory already.

    Not for autograd, which does not know of it.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    width = first.shape[-1]
    row = width * len(parts)
    lie_so = first.stride(-1) == 1 and all(
        part.dtype == first.dtype
        and part.shape == first.shape
        and part.stride() == first.stride()
        and part.storage_offset() == first.storage_offset() + number * width
        and part.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        for number, part in enumerate(parts)
    )
    if lie_so and first.stride(-2) == row:
        return torch.as_strided(first, (*first.shape[:-1], row), (*first.stride()[:-1], 1))
    return torch.cat(list(parts), dim=-1)
