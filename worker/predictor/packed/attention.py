"""Attention over packed tokens, group by group, where they lie."""

import torch
from torch.nn import functional

from worker.packing.groups import Group, bias_of
from worker.packing.sight import EVERYTHING, Sight
from worker.predictor.packed.layout import Layout


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
    parts = []
    for group in layout.groups:
        q, k, v = (_of_group(part, group) for part in (query, key, value))
        parts.append(_attended(q, k, v, layout, group, scaling=scaling, sight=sight))
    return _joined(parts, rows=rows).view(1, rows, heads, size)


def attend_jointly(joint: torch.Tensor, layout: Layout, *, heads: int, scaling: float) -> torch.Tensor:
    """The same from one tensor ``[rows, 3 x heads x size]`` of queries, keys and values; returns ``[rows, heads x size]``."""
    parts = []
    for group in layout.groups:
        own = joint[group.start : group.stop].view(group.examples, group.length, 3, heads, -1)
        query, key, value = own.permute(2, 0, 3, 1, 4).unbind()
        parts.append(_attended(query, key, value, layout, group, scaling=scaling, sight=EVERYTHING))
    return _joined(parts, rows=len(joint))


def attend_from_first(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    *,
    scaling: float,
    dropout: float,  # noqa: ARG001 - there is none in serving
    sight: Sight,
) -> torch.Tensor:
    """Of the first token of each example alone: ``[1, heads, examples, size]`` queries; returns ``[1, examples, heads, size]``."""
    queries = query[0].transpose(0, 1).index_select(0, layout.order)
    parts, begin = [], 0
    for group in layout.groups:
        q = queries[begin : begin + group.examples][:, :, None]
        k, v = (_of_group(part, group) for part in (key, value))
        parts.append(_attended(q, k, v, layout, group, scaling=scaling, sight=sight))
        begin += group.examples
    return _in_order_of_batch(parts, layout, rows=len(queries)).view(1, *queries.shape)


def attend_jointly_from_first(
    queries: torch.Tensor, joint: torch.Tensor, layout: Layout, *, heads: int, scaling: float
) -> torch.Tensor:
    """The same of queries ``[rows, heads x size]``, those of the examples and then filler, and of ``joint``, ``[rows, 2 x heads x size]``.

    Returns as many as there are queries.
    """
    in_order = queries.index_select(0, layout.order).view(len(layout.order), heads, 1, -1)
    parts, begin = [], 0
    for group in layout.groups:
        own = joint[group.start : group.stop].view(group.examples, group.length, 2, heads, -1)
        key, value = own.permute(2, 0, 3, 1, 4).unbind()
        query = in_order[begin : begin + group.examples]
        parts.append(_attended(query, key, value, layout, group, scaling=scaling, sight=EVERYTHING))
        begin += group.examples
    return _in_order_of_batch(parts, layout, rows=len(queries))


def _in_order_of_batch(parts: list[torch.Tensor], layout: Layout, *, rows: int) -> torch.Tensor:
    """``[rows, width]`` of a row an example, in the order of the groups; zero behind them."""
    found = parts[0].new_zeros((rows, parts[0].shape[-1]))
    return found.index_copy_(0, layout.order, torch.cat(parts))


def _attended(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    group: Group,
    *,
    scaling: float,
    sight: Sight,
) -> torch.Tensor:
    """``[examples, heads, length or queries, size]`` each; returns ``[examples x queries, heads x size]``."""
    about = (group.start, sight, query.dtype)
    if about not in layout.biases:
        layout.biases[about] = bias_of(group, sight, dtype=query.dtype, device=query.device)
    found = functional.scaled_dot_product_attention(query, key, value, layout.biases[about], scale=scaling)
    return found.transpose(1, 2).reshape(group.examples * query.shape[2], -1)


def _joined(parts: list[torch.Tensor], *, rows: int) -> torch.Tensor:
    """``[rows, width]``, zero in rows that no example has."""
    if missing := rows - sum(map(len, parts)):
        parts.append(parts[0].new_zeros((missing, parts[0].shape[-1])))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _of_group(part: torch.Tensor, group: Group) -> torch.Tensor:
    """The view ``[examples, heads, length, size]``."""
    heads, _, size = part.shape[1:]
    rows = part[0].transpose(0, 1)[group.start : group.stop]
    return rows.view(group.examples, group.length, heads, size).transpose(1, 2)
