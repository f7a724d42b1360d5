"""Attention over packed tokens, group by group: their rows are gathered into the places of the groups, and back.

A softmax in two products and an ``exp2``. What torch's fused attention does takes twice as long on processors without matrix units,
where it makes a small product for each head of each text. The largest score of a row is not subtracted, which would take longer
than all else: a power of two keeps its digits in bfloat16 however large it is. The weights are summed by the product that they are
used in, by a column of a constant beside the values, which is 0 for padding. A row whose weights are too large for that, or all so
small that digits of theirs are lost, comes to no number: such texts are computed again, see ``Layout.is_careful``.
"""

import math
from typing import Final

import torch
from torch.nn import functional

from worker.packing.groups import Group, bias_of
from worker.packing.sight import EVERYTHING, Sight
from worker.predictor.packed.layout import Layout

_LOG2_E: Final = math.log2(math.e)
_UNIT: Final = 2.0**-26
"""What stands for 1 beside the values, so that no sum of weights that are numbers is infinite. One that is divides to no number."""
_LEAST_SUM: Final = 2.0**-106
"""Of weights times that. Those that are 0, being below 2^-126, then make no difference, be they 500."""


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
    return _by_row(_attended(q, k, v, layout, scaling=scaling, sight=sight), layout, rows=rows).view(
        1, rows, heads, size
    )


def attend_jointly(joint: torch.Tensor, layout: Layout, *, heads: int, scaling: float) -> torch.Tensor:
    """The same from one tensor ``[rows, 3 x heads x size]`` of queries, keys and values; returns ``[rows, heads x size]``."""
    query, key, value = _parts(joint, layout, count=3, heads=heads)
    return _by_row(_attended(query, key, value, layout, scaling=scaling, sight=EVERYTHING), layout, rows=len(joint))


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
    heads, examples, size = query.shape[1:]
    queries = query[0].transpose(0, 1).index_select(0, layout.order)
    k, v = (_by_place(part, layout) for part in (key, value))
    parts = _attended(queries, k, v, layout, scaling=scaling, sight=sight, from_first=True)
    return _in_order_of_batch(parts, layout, rows=examples).view(1, examples, heads, size)


def attend_jointly_from_first(
    queries: torch.Tensor, joint: torch.Tensor, layout: Layout, *, heads: int, scaling: float
) -> torch.Tensor:
    """The same of queries ``[rows, heads x size]``, those of the examples and then filler, and of ``joint``, ``[rows, 2 x heads x size]``.

    Returns as many as there are queries.
    """
    query = queries.index_select(0, layout.order).view(len(layout.order), heads, -1)
    key, value = _parts(joint, layout, count=2, heads=heads)
    parts = _attended(query, key, value, layout, scaling=scaling, sight=EVERYTHING, from_first=True)
    return _in_order_of_batch(parts, layout, rows=len(queries))


def _attended(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    *,
    scaling: float,
    sight: Sight,
    from_first: bool = False,
) -> list[torch.Tensor]:
    """``[places, heads, size]`` each, or a query an example of the groups; returns ``[places or examples, heads x size]`` by groups."""
    attend_in_group = _attended_carefully if layout.is_careful else _attended_by_products
    found, num_examples = [], 0
    for group in layout.groups:
        count = 1 if from_first else group.length
        begin = num_examples if from_first else group.start
        num_examples += group.examples
        own = query[begin : begin + group.examples * count].view(group.examples, count, *query.shape[1:])
        attended = own.new_empty(own.shape)
        attend_in_group(
            own.transpose(1, 2), _of_group(key, group), _of_group(value, group), layout, group, scaling, sight,
            out=attended.transpose(1, 2),
        )  # fmt: skip
        found.append(attended.view(group.examples * count, -1))
    return found


def _attended_by_products(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    group: Group,
    scaling: float,
    sight: Sight,
    *,
    out: torch.Tensor,
) -> None:
    """``[examples, heads, length or queries, size]`` each."""
    keys, values, units = layout.once("products", group, value.dtype, make=lambda: _room_for_products(group, value))
    keys.copy_(key)
    torch.mul(value, units, out=values[..., :-1])
    scaled = torch.mul(query, scaling * _LOG2_E, out=query.new_empty(query.shape))
    weights = torch.bmm(scaled.view(-1, *scaled.shape[2:]), keys.view(-1, *keys.shape[2:]).transpose(1, 2)).exp2_()
    if sight != EVERYTHING:
        seen = layout.once("seen", group, sight, query.dtype, make=lambda: _bias(group, sight, query) == 0)
        weights.view(*query.shape[:3], -1).mul_(seen)
    summed = torch.bmm(weights, values.view(-1, *values.shape[2:])).view(*query.shape[:3], -1)
    torch.div(summed[..., :-1], functional.threshold(summed[..., -1:], _LEAST_SUM, math.nan), out=out)


def _room_for_products(group: Group, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For keys; for values with a column of units behind them; and that column, 0 for padding: ``[examples, heads or 1, length, …]``."""
    units = value.new_full((group.examples, 1, group.length, 1), _UNIT)
    if group.bias is not None:
        units *= (group.bias == 0).view(units.shape)
    values = value.new_empty((*value.shape[:3], value.shape[3] + 1))
    values[..., -1:] = units
    return value.new_empty(value.shape), values, units


def _attended_carefully(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    group: Group,
    scaling: float,
    sight: Sight,
    *,
    out: torch.Tensor,
) -> None:
    """The same with scores of any size."""
    bias = layout.once("bias", group, sight, query.dtype, make=lambda: _bias(group, sight, query))
    out.copy_(functional.scaled_dot_product_attention(query, key, value, bias, scale=scaling))


def _bias(group: Group, sight: Sight, like: torch.Tensor) -> torch.Tensor | None:
    return bias_of(group, sight, dtype=like.dtype, device=like.device)


def _in_places(rows: torch.Tensor, layout: Layout) -> torch.Tensor:
    """``[places, width]`` of ``[rows, width]``."""
    return rows if layout.row_of_place is None else rows.index_select(0, layout.row_of_place)


def _by_place(part: torch.Tensor, layout: Layout) -> torch.Tensor:
    """``[places, heads, size]`` of ``[1, heads, rows, size]``."""
    heads, rows, size = part.shape[1:]
    return _in_places(part[0].transpose(0, 1).reshape(rows, -1), layout).view(-1, heads, size)


def _parts(joint: torch.Tensor, layout: Layout, *, count: int, heads: int) -> tuple[torch.Tensor, ...]:
    """``count`` tensors ``[places, heads, size]`` of ``[rows, count x heads x size]``."""
    return _in_places(joint, layout).view(-1, count, heads, joint.shape[1] // (count * heads)).unbind(1)


def _of_group(part: torch.Tensor, group: Group) -> torch.Tensor:
    """The view ``[examples, heads, length, size]`` of ``[places, heads, size]``."""
    return part[group.start : group.stop].view(group.examples, group.length, *part.shape[1:]).transpose(1, 2)


def _by_row(parts: list[torch.Tensor], layout: Layout, *, rows: int) -> torch.Tensor:
    """``[rows, width]`` from the places of the groups."""
    in_places = _joined(parts)
    if layout.place_of_row is not None:
        return in_places.index_select(0, layout.place_of_row)
    missing = rows - len(in_places)
    return functional.pad(in_places, (0, 0, 0, missing)) if missing else in_places


def _in_order_of_batch(parts: list[torch.Tensor], layout: Layout, *, rows: int) -> torch.Tensor:
    """``[rows, width]`` of a row an example, in the order of the groups; zero behind them."""
    found = _joined(parts).index_select(0, layout.place_of_example)
    return functional.pad(found, (0, 0, 0, rows - len(found)))


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
