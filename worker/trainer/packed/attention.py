"""Attention over packed tokens: each example attends to its own tokens alone, group by group."""

from typing import Any

import torch
from torch.nn import functional

from worker.trainer.packed.joint import joined
from worker.trainer.packed.lanes import Masks, masked, scale_of
from worker.trainer.packed.layout import Group, Layout


def grouped_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    *,
    scaling: float,
    dropout: float = 0.0,
    window: int | None = None,
) -> torch.Tensor:
    """``[1, heads, places, size]`` each; returns ``[1, places, heads, size]`` with zeros where no group lies.

    ``window``: tokens as far apart as this do not see each other.
    """
    if query.device.type == "cpu":
        attended: torch.Tensor = _GroupedAttention.apply(  # type: ignore[no-untyped-call]
            query, key, value, layout, scaling, dropout, window
        )
        return attended
    parts = [
        functional.scaled_dot_product_attention(
            _of_group(query, group),
            _of_group(key, group),
            _of_group(value, group),
            attn_mask=_bias(group, window, dtype=query.dtype, device=query.device),
            dropout_p=dropout,
            scale=scaling,
        )
        .transpose(1, 2)
        .flatten(0, 1)
        for group in layout.groups
    ]
    places = torch.cat(parts)
    return functional.pad(places, (0, 0, 0, 0, 0, layout.num_places - len(places)))[None]


def _of_group(tensor: torch.Tensor, group: Group) -> torch.Tensor:
    """The view ``[examples, heads, length, size]``."""
    _, heads, _, size = tensor.shape
    return tensor[0, :, group.start : group.stop].view(heads, group.examples, group.length, size).transpose(0, 1)


def _bias(group: Group, window: int | None, *, dtype: torch.dtype, device: torch.device) -> torch.Tensor | None:
    """``[examples or 1, 1, length or 1, length]``, or None if every token sees every other."""
    bias = None if group.bias is None else group.bias[:, None].to(dtype)
    if window is not None and window < group.length:
        places = torch.arange(group.length, device=device)
        far = (places[:, None] - places[None, :]).abs() >= window
        beyond = torch.zeros(far.shape, dtype=dtype, device=device).masked_fill_(far, -1e9)[None, None]
        bias = beyond if bias is None else bias + beyond
    return bias


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
    zeroed tensor each. Query, key and value are copied together, group by group, since they come out of one product.
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
        window: int | None,
    ) -> torch.Tensor:
        _, heads, places, size = query.shape
        rows = joined([part[0].transpose(0, 1).reshape(places, -1) for part in (query, key, value)])
        out = query.new_empty((places, heads, size))
        out[layout.groups[-1].stop :].zero_()
        masks = Masks(dropout, dtype=query.dtype) if dropout > 0 else None
        saved = []
        for group in layout.groups:
            inputs = rows[group.start : group.stop].view(group.examples, group.length, 3, heads, size)
            together = inputs.permute(2, 0, 3, 1, 4).reshape(3, -1, group.length, size)
            q, k, v = together
            bias = _by_head(_bias(group, window, dtype=q.dtype, device=q.device), group, heads)
            weights = torch.softmax(_product(q, k.transpose(1, 2), scale=scaling, plus=bias), dim=-1)
            keep = None if masks is None else masks.draw(weights.shape)
            attended = _product(masked(weights, keep), v, scale=scale_of(dropout))
            _of_group(out.transpose(0, 1)[None], group).copy_(attended.view(-1, heads, group.length, size))
            saved += [together, weights, keep]
        ctx.save_for_backward(*saved)
        ctx.layout, ctx.scaling, ctx.dropout = layout, scaling, dropout
        return out[None]

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        _, places, heads, size = grads[0].shape
        # One tensor in the order [places, 3, heads, size]: whoever made query, key and value by one product wants it whole.
        into = grads[0].new_empty((places, 3, heads, size))
        layout: Layout = ctx.layout
        into[layout.groups[-1].stop :].zero_()
        scale, saved = scale_of(ctx.dropout), ctx.saved_tensors
        for number, group in enumerate(layout.groups):
            together, weights, keep = saved[3 * number : 3 * number + 3]
            q, k, v = together
            grad = _of_group(grads[0].transpose(1, 2), group).reshape(-1, group.length, size)
            d_weights = masked(_product(grad, v.transpose(1, 2), scale=scale), keep)
            d_scores = torch.ops.aten._softmax_backward_data(d_weights, weights, -1, weights.dtype)  # noqa: SLF001 - an operator
            d_together = torch.empty_like(together)
            _product(d_scores, k, scale=ctx.scaling, out=d_together[0])
            _product(d_scores.transpose(1, 2), q, scale=ctx.scaling, out=d_together[1])
            _product(masked(weights, keep).transpose(1, 2), grad, scale=scale, out=d_together[2])
            target = into[group.start : group.stop].view(group.examples, group.length, 3, heads, size)
            target.copy_(d_together.view(3, group.examples, heads, group.length, size).permute(1, 3, 0, 2, 4))
        d_query, d_key, d_value = (into[:, place].transpose(0, 1)[None] for place in range(3))
        return d_query, d_key, d_value, None, None, None, None
