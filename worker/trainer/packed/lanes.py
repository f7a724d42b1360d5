"""Dropout masks from 8-bit lanes of raw random bits, on the CPU.

torch's CPU generator makes one number after the other, which was a quarter of a step. Cutting 64 random bits of SFC64 into
eight lanes and comparing each with a threshold draws independent Bernoulli variables whose share is a multiple of 1/256. The
two multiples next to ``p`` take turns at random, so that each value is dropped with probability ``p``; the scale is that of
the multiple drawn, so the expectation is exact in both. A mask is 1 or 0 in integers as wide as the values, so that it is
applied by one integer product, without the casts and passes of a boolean one.
"""

from typing import Any, Final

import numpy as np
import torch

LEVELS: Final = 2**8
_LANES_OF_A_WORD: Final = 8
_INTEGERS: Final = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class Masks:
    """Independent masks for values of one type: 0 with the probability next to ``p`` that was drawn for them, else 1.

    The bits are seeded by one number of torch's generator, so that whoever restores that (gradient checkpointing) gets the
    same masks again.
    """

    def __init__(self, p: float, *, dtype: torch.dtype) -> None:
        self._bits = np.random.SFC64(int(torch.randint(2**63 - 1, ())))
        below, rest = divmod(p * LEVELS, 1)
        level = int(below) + (int(self._bits.random_raw()) < rest * 2**64)
        self.level: Final = min(level, LEVELS - 1)
        self._dtype = _INTEGERS[dtype.itemsize]

    @property
    def scale(self) -> float:
        """What the kept values are multiplied by."""
        return LEVELS / (LEVELS - self.level)

    def draw(self, shape: torch.Size) -> torch.Tensor:
        count = shape.numel()
        words: Any = self._bits.random_raw(-(-count // _LANES_OF_A_WORD))
        lanes = torch.from_numpy(words.view(np.int8))[:count].view(shape)
        return torch.ge(lanes, self.level - LEVELS // 2, out=torch.empty(shape, dtype=self._dtype))


def drop(values: torch.Tensor, p: float) -> torch.Tensor:
    """``torch.nn.functional.dropout`` in training."""
    dropped: torch.Tensor = _Dropout.apply(values, p)  # type: ignore[no-untyped-call]
    return dropped


def masked(values: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
    """``values`` where kept, else 0. Not scaled."""
    return values if keep is None else (values.view(keep.dtype) * keep).view(values.dtype)


def mask_(values: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
    """``masked``, in place."""
    if keep is not None:
        values.view(keep.dtype).mul_(keep)
    return values


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, p: float) -> torch.Tensor:
        masks = Masks(p, dtype=values.dtype)
        keep = masks.draw(values.shape)
        ctx.save_for_backward(keep)
        ctx.scale = masks.scale
        return masked(values, keep).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        return masked(grads[0], ctx.saved_tensors[0]).mul_(ctx.scale), None
