"""Attention over packed tokens: each example attends to its own tokens alone, group by group."""

from typing import Any

import torch
from torch.nn import functional

from worker.packing.groups import Group, bias_of
from worker.packing.sight import EVERYTHING, Sight
from worker.trainer.packed.joint import joined
from worker.trainer.packed.lanes import Masks, mask_, masked
from worker.trainer.packed.layout import Layout


def grouped_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    *,
    scaling: float,
    dropout: float = 0.0,
    sight: Sight = EVERYTHING,
) -> torch.Tensor:
    """``[1, heads, rows, size]`` each; returns ``[1, rows, heads, size]``. What filler rows come to is not defined."""
    if _on_cpu(query):
        attended: torch.Tensor = _GroupedAttention.apply(  # type: ignore[no-untyped-call]
            query, key, value, layout, scaling, dropout, sight
        )
        return attended
    heads, size = query.shape[1], query.shape[3]
    into, _ = layout.gathers(3, heads)
    together = torch.cat(_rows(query, key, value), dim=-1).view(-1, size).index_select(0, into)
    parts = []
    for group in layout.groups:
        q, k, v = _of_group(together, group, 3, heads)
        bias = bias_of(group, sight, dtype=q.dtype, device=q.device)
        attended = functional.scaled_dot_product_attention(q, k, v, bias, dropout, scale=scaling)
        parts.append(attended.reshape(-1, size))
    _, back = layout.gathers(1, heads)
    return torch.cat(parts).index_select(0, back).view(1, -1, heads, size)


def _on_cpu(tensor: torch.Tensor) -> bool:
    return tensor.device.type == "cpu"


def _rows(*parts: torch.Tensor) -> list[torch.Tensor]:
    """``[rows, heads x size]`` each, from ``[1, heads, rows, size]``."""
    return [part[0].transpose(0, 1).flatten(1) for part in parts]


def _of_group(vectors: torch.Tensor, group: Group, parts: int, heads: int) -> torch.Tensor:
    """The view ``[parts, examples, heads, length, size]`` of vectors in the order of the groups."""
    own = vectors[parts * heads * group.start : parts * heads * group.stop]
    return own.view(parts, group.examples, heads, group.length, -1)


def _product(
    left: torch.Tensor, right: torch.Tensor, *, scale: float, plus: torch.Tensor | None = None, out: Any = None
) -> torch.Tensor:
    """``left @ right`` of each example and head, scaled (and ``plus`` added) before it is rounded."""
    if plus is None:
        return torch.baddbmm(left.new_empty(()), left, right, beta=0, alpha=scale, out=out)
    return torch.baddbmm(plus, left, right, alpha=scale, out=out)


def _by_head(bias: torch.Tensor | None, group: Group, heads: int) -> torch.Tensor | None:
    """``[examples x heads, length or 1, length]``"""
    if bias is None:
        return None
    return bias.expand(group.examples, heads, -1, -1).reshape(-1, bias.shape[2], group.length)


class _GroupedAttention(torch.autograd.Function):
    """Scores, softmax, dropout and values with a backward of their own.

    torch's fused attention is slow backward on a CPU at these shapes, and slices of one tensor, left to autograd, cost a
    zeroed tensor each. Gathering brings query, key and value, which come out of one product, into the places of the groups and
    into the order of attention's products at once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        layout: Layout,
        scaling: float,
        dropout: float,
        sight: Sight,
    ) -> torch.Tensor:
        _, heads, _, size = query.shape
        into, _ = layout.gathers(3, heads)
        together = joined(_rows(query, key, value)).view(-1, size).index_select(0, into)
        attended = together.new_empty((len(together) // 3, size))
        masks = Masks(dropout, dtype=query.dtype) if dropout > 0 else None
        scale = 1.0 if masks is None else masks.scale
        saved: list[torch.Tensor | None] = [together]
        for group in layout.groups:
            q, k, v = _of_group(together, group, 3, heads).flatten(1, 2)
            bias = _by_head(bias_of(group, sight, dtype=q.dtype, device=q.device), group, heads)
            weights = torch.softmax(_product(q, k.transpose(1, 2), scale=scaling, plus=bias), dim=-1)
            keep = None if masks is None else masks.draw(weights.shape)
            dropped = masked(weights, keep)
            target = _of_group(attended, group, 1, heads).flatten(0, 2)
            _product(dropped, v, scale=scale, out=target)
            saved += [weights, keep, dropped]
        ctx.save_for_backward(*saved)
        ctx.layout, ctx.scaling, ctx.scale = layout, scaling, scale
        return _back(attended, layout, 1, heads)[None]

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        _, rows, heads, size = grads[0].shape
        layout: Layout = ctx.layout
        scale, (together, *saved) = ctx.scale, ctx.saved_tensors
        into, _ = layout.gathers(1, heads)
        grad_together = grads[0].reshape(-1, size).index_select(0, into)
        d_together = torch.empty_like(together)
        for number, group in enumerate(layout.groups):
            weights, keep, dropped = saved[3 * number : 3 * number + 3]
            q, k, v = _of_group(together, group, 3, heads).flatten(1, 2)
            d_query, d_key, d_value = _of_group(d_together, group, 3, heads).flatten(1, 2)
            grad = _of_group(grad_together, group, 1, heads).flatten(0, 2)
            d_weights = mask_(_product(grad, v.transpose(1, 2), scale=scale), keep)
            d_scores = torch.ops.aten._softmax_backward_data(d_weights, weights, -1, weights.dtype)  # noqa: SLF001 - an operator
            _product(d_scores, k, scale=ctx.scaling, out=d_query)
            _product(d_scores.transpose(1, 2), q, scale=ctx.scaling, out=d_key)
            _product(dropped.transpose(1, 2), grad, scale=scale, out=d_value)
        # One tensor in the order [rows, 3, heads, size]: whoever made query, key and value by one product wants it whole.
        d_rows = _back(d_together, layout, 3, heads).view(rows, 3, heads, size)
        d_query, d_key, d_value = (d_rows[:, part].transpose(0, 1)[None] for part in range(3))
        return d_query, d_key, d_value, None, None, None, None


def _back(vectors: torch.Tensor, layout: Layout, parts: int, heads: int) -> torch.Tensor:
    """``[rows, parts x heads, size]`` from the order of the groups, zero for filler rows."""
    _, back = layout.gathers(parts, heads)
    rows = vectors.index_select(0, back).view(layout.num_rows, parts * heads, -1)
    rows[layout.num_tokens :].zero_()
    return rows
