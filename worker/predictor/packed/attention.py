"""Attention over packed tokens, group by group: their rows are gathered into the places of the groups, and back.

By torch's fused attention. One product for the scores of all heads of a group is up to a third faster at these shapes, makes no
difference to a whole batch, and costs half a megabyte for each shape that a group may have.
"""

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
    """``[1, heads, rows, size]`` each; returns ``[1, rows, heads, size]``. What filler rows come to is not defined."""
    heads, rows, size = query.shape[1:]
    q, k, v = (_by_place(part, layout) for part in (query, key, value))
    parts = [
        _attended(
            _of_group(q, group), _of_group(k, group), _of_group(v, group), layout, group, scaling=scaling, sight=sight
        )
        for group in layout.groups
    ]
    return _by_row(parts, layout, rows=rows).view(1, rows, heads, size)


def attend_jointly(joint: torch.Tensor, layout: Layout, *, heads: int, scaling: float) -> torch.Tensor:
    """The same from one tensor ``[rows, 3 x heads x size]`` of queries, keys and values; returns ``[rows, heads x size]``."""
    in_places = _in_places(joint, layout)
    parts = []
    for group in layout.groups:
        query, key, value = _parts_of_group(in_places, group, parts=3, heads=heads)
        parts.append(_attended(query, key, value, layout, group, scaling=scaling, sight=EVERYTHING))
    return _by_row(parts, layout, rows=len(joint))


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
    k, v = (_by_place(part, layout) for part in (key, value))
    parts, begin = [], 0
    for group in layout.groups:
        q = queries[begin : begin + group.examples][:, :, None]
        key_of, value_of = _of_group(k, group), _of_group(v, group)
        parts.append(_attended(q, key_of, value_of, layout, group, scaling=scaling, sight=sight))
        begin += group.examples
    return _in_order_of_batch(parts, layout, rows=len(queries)).view(1, *queries.shape)


def attend_jointly_from_first(
    queries: torch.Tensor, joint: torch.Tensor, layout: Layout, *, heads: int, scaling: float
) -> torch.Tensor:
    """The same of queries ``[rows, heads x size]``, those of the examples and then filler, and of ``joint``, ``[rows, 2 x heads x size]``.

    Returns as many as there are queries.
    """
    in_order = queries.index_select(0, layout.order).view(len(layout.order), heads, 1, -1)
    in_places = _in_places(joint, layout)
    parts, begin = [], 0
    for group in layout.groups:
        key, value = _parts_of_group(in_places, group, parts=2, heads=heads)
        query = in_order[begin : begin + group.examples]
        parts.append(_attended(query, key, value, layout, group, scaling=scaling, sight=EVERYTHING))
        begin += group.examples
    return _in_order_of_batch(parts, layout, rows=len(queries))


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


def _in_places(rows: torch.Tensor, layout: Layout) -> torch.Tensor:
    """``[places, width]`` of ``[rows, width]``."""
    return rows if layout.row_of_place is None else rows.index_select(0, layout.row_of_place)


def _by_place(part: torch.Tensor, layout: Layout) -> torch.Tensor:
    """``[places, heads, size]`` of ``[1, heads, rows, size]``."""
    heads, rows, size = part.shape[1:]
    return _in_places(part[0].transpose(0, 1).reshape(rows, -1), layout).view(-1, heads, size)


def _of_group(part: torch.Tensor, group: Group) -> torch.Tensor:
    """The view ``[examples, heads, length, size]`` of ``[places, heads, size]``."""
    return part[group.start : group.stop].view(group.examples, group.length, *part.shape[1:]).transpose(1, 2)


def _parts_of_group(joint: torch.Tensor, group: Group, *, parts: int, heads: int) -> torch.Tensor:
    """``[parts, examples, heads, length, size]`` of ``[places, parts x heads x size]``."""
    own = joint[group.start : group.stop].view(group.examples, group.length, parts, heads, -1)
    return own.permute(2, 0, 3, 1, 4)


def _by_row(parts: list[torch.Tensor], layout: Layout, *, rows: int) -> torch.Tensor:
    """``[rows, width]`` from the places of the groups."""
    in_places = _joined(parts)
    if layout.place_of_row is not None:
        return in_places.index_select(0, layout.place_of_row)
    missing = rows - len(in_places)
    return functional.pad(in_places, (0, 0, 0, missing)) if missing else in_places


def _in_order_of_batch(parts: list[torch.Tensor], layout: Layout, *, rows: int) -> torch.Tensor:
    """``[rows, width]`` of a row an example, in the order of the groups; zero behind them."""
    found = parts[0].new_zeros((rows, parts[0].shape[-1]))
    return found.index_copy_(0, layout.order, _joined(parts))


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
