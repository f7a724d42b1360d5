"""Attention over packed tokens, group by group, where they lie."""

import torch
from torch.nn import functional

from worker.packing.sight import Sight
from worker.predictor.packed.layout import Group, Layout

_UNSEEN = -1e9


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    *,
    scaling: float,
    dropout: float,  # noqa: ARG001 - there is none in serving
    sight: Sight,
) -> torch.Tensor:
    """``[1, heads, rows, size]`` each; returns ``[1, rows, heads, size]``, zero in rows that no example has."""
    heads, rows, size = query.shape[1:]
    attended = value.new_empty((rows, heads, size))
    stop = 0
    for group in layout.groups:
        q, k, v = (_of_group(part, group) for part in (query, key, value))
        found = functional.scaled_dot_product_attention(q, k, v, _bias(group, sight, dtype=q.dtype), scale=scaling)
        attended[group.start : group.stop].view(group.examples, group.length, heads, size).copy_(found.transpose(1, 2))
        stop = group.stop
    attended[stop:] = 0
    return attended[None]


def _of_group(part: torch.Tensor, group: Group) -> torch.Tensor:
    """The view ``[examples, heads, length, size]``."""
    heads, _, size = part.shape[1:]
    rows = part[0].transpose(0, 1)[group.start : group.stop]
    return rows.view(group.examples, group.length, heads, size).transpose(1, 2)


def _bias(group: Group, sight: Sight, *, dtype: torch.dtype) -> torch.Tensor | None:
    """``[examples or 1, 1, length or 1, length]``, or None if every token sees every other."""
    unseen = None if group.is_filler is None else group.is_filler[:, None, None]
    is_narrow = sight.window is not None and sight.window < group.length
    if is_narrow or sight.causal:
        places = torch.arange(group.length)
        distance = places[:, None] - places[None, :]
        far = distance < 0 if sight.causal else torch.zeros_like(distance, dtype=torch.bool)
        if sight.window is not None and is_narrow:
            far = far | (distance.abs() >= sight.window)
        unseen = far[None, None] if unseen is None else unseen | far
    return None if unseen is None else torch.zeros(unseen.shape, dtype=dtype).masked_fill_(unseen, _UNSEEN)
