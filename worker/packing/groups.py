"""Examples that attention takes together: as many places each, side by side."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from worker.packing.sight import Sight

_UNSEEN: Final = -1e9


@dataclass(frozen=True, kw_only=True)
class Group:
    """``examples`` of ``length`` places each, from place ``start``."""

    start: int
    examples: int
    length: int
    bias: torch.Tensor | None
    """``[examples, 1, length]``: 0 where there is a token, a large negative number on padding; None: no padding."""

    @property
    def stop(self) -> int:
        return self.start + self.examples * self.length


def padding_bias(is_padding: np.ndarray) -> torch.Tensor | None:
    """``Group.bias`` where ``is_padding``, ``[examples, length]``."""
    if not is_padding.any():
        return None
    return torch.from_numpy(np.where(is_padding, np.float32(_UNSEEN), np.float32(0)))[:, None, :]


def bias_of(group: Group, sight: Sight, *, dtype: torch.dtype, device: torch.device) -> torch.Tensor | None:
    """``[examples or 1, 1, length or 1, length]``, or None if every token sees every other."""
    causal, window = sight.causal, sight.window
    bias = None if group.bias is None or causal else group.bias[:, None].to(dtype)  # padding is behind all tokens
    is_narrow = window is not None and window < group.length
    if is_narrow or causal:
        places = torch.arange(group.length, device=device)
        distance = places[:, None] - places[None, :]
        far = distance < 0 if causal else torch.zeros_like(distance, dtype=torch.bool)
        if window is not None and is_narrow:
            far = far | (distance.abs() >= window)
        beyond = torch.zeros(far.shape, dtype=dtype, device=device).masked_fill_(far, _UNSEEN)[None, None]
        bias = beyond if bias is None else bias + beyond
    return bias
