"""Dropout masks from 16-bit lanes of raw random bits, on the CPU.

torch's CPU generator makes one number after the other, which was a quarter of a step. Cutting 64 random bits of SFC64 into
four lanes and comparing each with a threshold draws the same independent Bernoulli variables, ``p`` rounded to the nearest
1/65536; the scale is that of the rounded ``p``, so the expectation is exact. A mask is 1 or 0 in integers as wide as the
values, so that it is applied by one integer product, without the casts and passes of a boolean one.
"""

from typing import Any, Final

import numpy as np
import torch

LEVELS: Final = 2**16
_INTEGERS: Final = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class Masks:
    """Independent masks for values of one type: 1 with probability ``1 - p``, else 0.

    The bits are seeded by one number of torch's generator, so that whoever restores that (gradient checkpointing) gets the
    same masks again.
    """

    def __init__(self, p: float, *, dtype: torch.dtype) -> None:
        self._bits = np.random.SFC64(int(torch.randint(2**63 - 1, ())))
        self._level, self._dtype = _level(p) - LEVELS // 2, _INTEGERS[dtype.itemsize]

    def draw(self, shape: torch.Size) -> torch.Tensor:
        count = shape.numel()
        words: Any = self._bits.random_raw(-(-count // 4))
        lanes = torch.from_numpy(words.view(np.int16))[:count].view(shape)
        return torch.ge(lanes, self._level, out=torch.empty(shape, dtype=self._dtype))


def drop(values: torch.Tensor, p: float) -> torch.Tensor:
    """``torch.nn.functional.dropout`` in training."""
    dropped: torch.Tensor = _Dropout.apply(values, p)  # type: ignore[no-untyped-call]
    return dropped


def scale_of(p: float) -> float:
    """What the kept values are multiplied by."""
    return LEVELS / (LEVELS - _level(p))


def masked(values: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
    """``values`` where kept, else 0. Not scaled."""
    return values if keep is None else (values.view(keep.dtype) * keep).view(values.dtype)


def _level(p: float) -> int:
    return min(LEVELS - 1, round(p * LEVELS))


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, p: float) -> torch.Tensor:
        keep = Masks(p, dtype=values.dtype).draw(values.shape)
        ctx.save_for_backward(keep)
        ctx.scale = scale_of(p)
        return masked(values, keep).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        return masked(grads[0], ctx.saved_tensors[0]).mul_(ctx.scale), None
