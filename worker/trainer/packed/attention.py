"""Attention over packed tokens: each example attends to its own tokens alone, group by group."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

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


def attention_from_first(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    *,
    scaling: float,
    dropout: float = 0.0,
    sight: Sight = EVERYTHING,
) -> torch.Tensor:
    """Of the first token of each example alone: ``[1, heads, examples, size]`` queries, ``[1, heads, rows, size]`` keys and values.

    Returns ``[1, examples, heads, size]``.
    """
    if _on_cpu(query):
        attended: torch.Tensor = _AttentionFromFirst.apply(  # type: ignore[no-untyped-call]
            query, key, value, layout, scaling, dropout, sight
        )
        return attended
    heads, size = query.shape[1], query.shape[3]
    into, _ = layout.gathers(2, heads)
    together = torch.cat(_rows(key, value), dim=-1).view(-1, size).index_select(0, into)
    queries = query[0].transpose(0, 1).index_select(0, layout.order)
    parts = []
    for group, own in _with_examples(layout):
        k, v = _of_group(together, group, 2, heads)
        bias = bias_of(group, sight, dtype=k.dtype, device=k.device)
        q = queries[own][:, :, None]
        parts.append(functional.scaled_dot_product_attention(q, k, v, bias, dropout, scale=scaling)[:, :, 0])
    return torch.cat(parts).index_select(0, torch.argsort(layout.order))[None]


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


def _bias_by_head(layout: Layout, group: Group, sight: Sight, *, like: torch.Tensor, heads: int) -> torch.Tensor | None:
    """``[examples x heads, length or 1, length]``, of the type of ``like``. Made once for all layers that see alike."""
    about = (group.start, heads, sight, like.dtype)
    if about not in layout.biases:
        bias = bias_of(group, sight, dtype=like.dtype, device=like.device)
        if bias is not None:
            bias = bias.expand(group.examples, heads, -1, -1).reshape(-1, bias.shape[2], group.length)
        layout.biases[about] = bias
    return layout.biases[about]


def _with_examples(layout: Layout) -> Iterator[tuple[Group, slice]]:
    """The groups, and where the examples of each are in ``layout.order``."""
    begin = 0
    for group in layout.groups:
        yield group, slice(begin, begin + group.examples)
        begin += group.examples


class _Weights(NamedTuple):
    """Of one group's attention, what its gradients are made of: ``[examples x heads, queries, length]`` each."""

    weights: torch.Tensor
    keep: torch.Tensor | None
    dropped: torch.Tensor


def _attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    scaling: float,
    masks: Masks | None,
    out: torch.Tensor,
) -> _Weights:
    """Scores, softmax, dropout and values of a group, ``[examples x heads, queries or length, size]`` each."""
    weights = torch.softmax(_product(q, k.transpose(1, 2), scale=scaling, plus=bias), dim=-1)
    keep = None if masks is None else masks.draw(weights.shape)
    dropped = masked(weights, keep)
    _product(dropped, v, scale=1.0 if masks is None else masks.scale, out=out)
    return _Weights(weights, keep, dropped)


def _attend_backward(
    grad: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    made: _Weights,
    *,
    scaling: float,
    scale: float,
    out: Sequence[torch.Tensor],
) -> None:
    """Puts the gradients of queries, keys and values into ``out``. ``scale``: of the dropout."""
    d_query, d_key, d_value = out
    d_weights = mask_(_product(grad, v.transpose(1, 2), scale=scale), made.keep)
    d_scores = torch.ops.aten._softmax_backward_data(d_weights, made.weights, -1, grad.dtype)  # noqa: SLF001 - an operator
    _product(d_scores, k, scale=scaling, out=d_query)
    _product(d_scores.transpose(1, 2), q, scale=scaling, out=d_key)
    _product(made.dropped.transpose(1, 2), grad, scale=scale, out=d_value)


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
        saved: list[torch.Tensor | None] = [together]
        for group in layout.groups:
            q, k, v = _of_group(together, group, 3, heads).flatten(1, 2)
            bias = _bias_by_head(layout, group, sight, like=q, heads=heads)
            target = _of_group(attended, group, 1, heads).flatten(0, 2)
            saved += _attend(q, k, v, bias, scaling=scaling, masks=masks, out=target)
        ctx.save_for_backward(*saved)
        ctx.layout, ctx.scaling, ctx.scale = layout, scaling, 1.0 if masks is None else masks.scale
        return _back(attended, layout, 1, heads)[None]

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        _, rows, heads, size = grads[0].shape
        layout: Layout = ctx.layout
        together, *saved = ctx.saved_tensors
        into, _ = layout.gathers(1, heads)
        grad_together = grads[0].reshape(-1, size).index_select(0, into)
        d_together = torch.empty_like(together)
        for number, group in enumerate(layout.groups):
            q, k, v = _of_group(together, group, 3, heads).flatten(1, 2)
            grad = _of_group(grad_together, group, 1, heads).flatten(0, 2)
            made = _Weights(*saved[3 * number : 3 * number + 3])
            out = _of_group(d_together, group, 3, heads).flatten(1, 2)
            _attend_backward(grad, q, k, v, made, scaling=ctx.scaling, scale=ctx.scale, out=out.unbind())
        # One tensor in the order [rows, 3, heads, size]: whoever made query, key and value by one product wants it whole.
        d_rows = _back(d_together, layout, 3, heads).view(rows, 3, heads, size)
        d_query, d_key, d_value = (d_rows[:, part].transpose(0, 1)[None] for part in range(3))
        return d_query, d_key, d_value, None, None, None, None


class _AttentionFromFirst(torch.autograd.Function):
    """The same of one query an example, which are few enough to be put in order by themselves."""

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
        into, _ = layout.gathers(2, heads)
        together = joined(_rows(key, value)).view(-1, size).index_select(0, into)
        queries = query[0].transpose(0, 1).index_select(0, layout.order)
        attended = torch.empty_like(queries)
        masks = Masks(dropout, dtype=query.dtype) if dropout > 0 else None
        saved: list[torch.Tensor | None] = [together, queries]
        for group, own in _with_examples(layout):
            k, v = _of_group(together, group, 2, heads).flatten(1, 2)
            bias = _bias_by_head(layout, group, sight, like=k, heads=heads)
            q, target = (part[own].view(-1, 1, size) for part in (queries, attended))
            saved += _attend(q, k, v, bias, scaling=scaling, masks=masks, out=target)
        ctx.save_for_backward(*saved)
        ctx.layout, ctx.scaling, ctx.scale = layout, scaling, 1.0 if masks is None else masks.scale
        return torch.empty_like(attended).index_copy_(0, layout.order, attended)[None]

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        _, _, heads, size = grads[0].shape
        layout: Layout = ctx.layout
        together, queries, *saved = ctx.saved_tensors
        grad_in_order = grads[0][0].index_select(0, layout.order)
        d_together, d_queries = torch.empty_like(together), torch.empty_like(queries)
        for number, (group, own) in enumerate(_with_examples(layout)):
            k, v = _of_group(together, group, 2, heads).flatten(1, 2)
            q, grad, d_query = (part[own].view(-1, 1, size) for part in (queries, grad_in_order, d_queries))
            made = _Weights(*saved[3 * number : 3 * number + 3])
            out = (d_query, *_of_group(d_together, group, 2, heads).flatten(1, 2).unbind())
            _attend_backward(grad, q, k, v, made, scaling=ctx.scaling, scale=ctx.scale, out=out)
        d_rows = _back(d_together, layout, 2, heads).view(layout.num_rows, 2, heads, size)
        d_key, d_value = (d_rows[:, part].transpose(0, 1)[None] for part in range(2))
        d_query = torch.empty_like(d_queries).index_copy_(0, layout.order, d_queries).transpose(0, 1)[None]
        return d_query, d_key, d_value, None, None, None, None


def _back(vectors: torch.Tensor, layout: Layout, parts: int, heads: int) -> torch.Tensor:
    """``[rows, parts x heads, size]`` from the order of the groups, zero for filler rows."""
    _, back = layout.gathers(parts, heads)
    rows = vectors.index_select(0, back).view(layout.num_rows, parts * heads, -1)
    rows[layout.num_tokens :].zero_()
    return rows
