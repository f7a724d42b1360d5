"""Attention over packed tokens, group by group: their rows are gathered into the places of the groups, and back.

A softmax in two products and an ``exp2``. What torch's fused attention does takes twice as long on processors without matrix units,
where it makes a small product for each head of each text. The largest score of a row is not subtracted, which would take longer
than all else: a power of two keeps its digits in bfloat16 however large it is. The weights are summed by the product that they are
used in, by a column of a constant beside the values, which is 0 for padding. A row whose weights are too large for that, or all so
small that digits of theirs are lost, comes to no number: such texts are computed again, see ``Layout.is_careful``.
"""

import math
from functools import partial
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
) -> torch.Tensor:
    """``[places, heads, size]`` each, or a query an example of the groups; returns ``[places or examples, heads x size]``.

    What is returned is written over by the next layer.
    """
    rooms: list[_Room]
    found: torch.Tensor
    about = query.shape[1:], query.dtype
    rooms, found = layout.once(
        "rooms", from_first, *about, make=lambda: _make_rooms(query, layout, from_first=from_first)
    )
    for room in rooms:
        room.attend(query[room.queries], key[room.places], value[room.places], layout, scaling=scaling, sight=sight)
    return found


def _make_rooms(query: torch.Tensor, layout: Layout, *, from_first: bool) -> "tuple[list[_Room], torch.Tensor]":
    """Of the groups, and where they put what they find: ``[places or examples, heads x size]``."""
    found = query.new_empty((len(layout.order) if from_first else layout.groups[-1].stop, *query.shape[1:]))
    about = query.shape[1:], query.dtype
    rooms: list[_Room] = []
    for group in layout.groups:
        start = rooms[-1].queries.stop if rooms else 0
        num_queries = group.examples * (1 if from_first else group.length)
        keys = layout.once("keys", group, *about, make=partial(_Keys, group, query))
        rooms.append(_Room(group, keys, found, queries=slice(start, start + num_queries)))
    return rooms, found.flatten(1)


class _Keys:
    """Where the keys and values of a group lie, layer after layer."""

    def __init__(self, group: Group, like: torch.Tensor) -> None:
        heads, size = like.shape[1:]
        examples, length = group.examples, group.length
        self._shape = (examples, length, heads, size)
        self._units = like.new_full((examples, 1, length, 1), _UNIT)
        """Beside the values, 0 for padding."""
        if group.bias is not None:
            self._units *= (group.bias == 0).view(self._units.shape)
        self._keys = like.new_empty((examples, heads, length, size))
        values = like.new_empty((examples, heads, length, size + 1))
        values[..., -1:] = self._units
        self._values = values[..., :-1]
        self.turned, self.values = self._keys.flatten(0, 1).mT, values.flatten(0, 1)
        """``[examples x heads, size, length]``, and ``[examples x heads, length, size + 1]``."""

    def by_head(self, part: torch.Tensor) -> torch.Tensor:
        """``[examples, heads, length, size]`` of ``[places, heads, size]``."""
        return part.view(self._shape).transpose(1, 2)

    def take(self, key: torch.Tensor, value: torch.Tensor) -> None:
        """``[places, heads, size]`` each."""
        self._keys.copy_(self.by_head(key))
        torch.mul(self.by_head(value), self._units, out=self._values)


class _Room:
    """Where a group attends, layer after layer.

    Tensors and views of them are made once: for one short text making them takes a quarter of the time that attention does.
    """

    def __init__(self, group: Group, keys: _Keys, found: torch.Tensor, *, queries: slice) -> None:
        self.queries, self.places = queries, slice(group.start, group.stop)
        self._group, self._keys = group, keys
        out = found[queries].view(group.examples, -1, *found.shape[1:])
        self._shape, self._out = out.shape, out.transpose(1, 2)
        examples, heads, count, size = self._out.shape
        self._query = out.new_empty(self._out.shape)
        self._queries = self._query.flatten(0, 1)
        self._weights = out.new_empty((examples * heads, count, group.length))
        self._summed = out.new_empty((examples * heads, count, size + 1))
        summed = self._summed.view(examples, heads, count, size + 1)
        self._sums_of_values, self._sums = summed[..., :-1], summed[..., -1:]

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        layout: Layout,
        *,
        scaling: float,
        sight: Sight,
    ) -> None:
        """``[queries or places, heads, size]`` each."""
        query = query.view(self._shape).transpose(1, 2)
        if layout.is_careful:  # with scores of any size
            k, v = self._keys.by_head(key), self._keys.by_head(value)
            bias = layout.once("bias", self._group, sight, query.dtype, make=lambda: self._bias(sight))
            self._out.copy_(functional.scaled_dot_product_attention(query, k, v, bias, scale=scaling))
            return
        self._keys.take(key, value)
        torch.mul(query, scaling * _LOG2_E, out=self._query)
        torch.bmm(self._queries, self._keys.turned, out=self._weights).exp2_()
        if sight != EVERYTHING:
            seen = layout.once("seen", self._group, sight, query.dtype, make=lambda: self._bias(sight) == 0)
            self._weights.view(*self._query.shape[:3], -1).mul_(seen)
        torch.bmm(self._weights, self._keys.values, out=self._summed)
        torch.div(self._sums_of_values, torch.threshold(self._sums, _LEAST_SUM, math.nan), out=self._out)

    def _bias(self, sight: Sight) -> torch.Tensor | None:
        return bias_of(self._group, sight, dtype=self._out.dtype, device=self._out.device)


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


def _by_row(in_places: torch.Tensor, layout: Layout, *, rows: int) -> torch.Tensor:
    """``[rows, width]`` from the places of the groups."""
    if layout.place_of_row is not None:
        return in_places.index_select(0, layout.place_of_row)
    missing = rows - len(in_places)
    return functional.pad(in_places, (0, 0, 0, missing)) if missing else in_places


def _in_order_of_batch(in_groups: torch.Tensor, layout: Layout, *, rows: int) -> torch.Tensor:
    """``[rows, width]`` of a row an example, in the order of the groups; zero behind them."""
    found = in_groups.index_select(0, layout.place_of_example)
    return functional.pad(found, (0, 0, 0, rows - len(found)))
