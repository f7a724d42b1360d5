"""Attention over packed tokens, group by group: their rows are gathered into the places of the groups, and back.

A softmax in two products and an ``exp2``. What torch's fused attention does takes twice as long on processors without matrix units,
where it makes a small product for each head of each text. The largest score of a row is not subtracted, which would take longer
than all else: a power of two keeps its digits in bfloat16 however large it is. The weights are summed by the product that they are
used in, by a column of a constant beside the values, which is 0 for padding. A row whose weights are too large for that, or all so
small that digits of theirs are lost, comes to no number: such texts are computed again, see ``Layout.is_careful``.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

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
    queries = _side_by_side(query)
    q = _Heads(queries if layout.order is None else queries.index_select(0, layout.order), heads, size)
    k, v = (_by_place(part, layout) for part in (key, value))
    found = _attended(q, k, v, layout, scaling=scaling, sight=sight, from_first=True)
    return _in_order_of_batch(found, layout)[:examples].view(1, examples, heads, size)


def attend_jointly_from_first(
    queries: torch.Tensor, joint: torch.Tensor, layout: Layout, *, heads: int, scaling: float
) -> torch.Tensor:
    """The same of queries ``[layout.num_first_rows, heads x size]`` and of ``joint``, ``[rows, 2 x heads x size]``.

    Returns as many as there are queries.
    """
    in_groups = queries if layout.order is None else queries.index_select(0, layout.order)
    query = _Heads(in_groups, heads, queries.shape[1] // heads)
    key, value = _parts(joint, layout, count=2, heads=heads)
    found = _attended(query, key, value, layout, scaling=scaling, sight=EVERYTHING, from_first=True)
    return _in_order_of_batch(found, layout)


class _Heads(NamedTuple):
    """Queries, keys or values: a row for each place, or each example, with the heads side by side from ``column`` on."""

    rows: torch.Tensor
    heads: int
    size: int
    column: int = 0

    def by_example(self, start: int, shape: Sequence[int]) -> torch.Tensor:
        """``shape``, ``[examples, heads, places, size]``, of the rows from ``start`` on: one view in place of six."""
        row, column = self.rows.stride()
        strides = (shape[2] * row, self.size * column, row, column)
        return self.rows.as_strided(shape, strides, self.rows.storage_offset() + start * row + self.column * column)


def _attended(
    query: _Heads,
    key: _Heads,
    value: _Heads,
    layout: Layout,
    *,
    scaling: float,
    sight: Sight,
    from_first: bool = False,
) -> torch.Tensor:
    """A row for each place or, from the first tokens, each example of the groups; returns ``[places or examples, heads x size]``.

    What is returned is written over by the next layer.
    """
    rooms: list[_Room]
    found: torch.Tensor
    about = query.heads, query.size, query.rows.dtype
    rooms, found = layout.kept(
        "rooms", from_first, *about, make=lambda: _make_rooms(query, layout, from_first=from_first)
    )
    layout.once("padding", *about, make=lambda: _hide_padding(rooms, layout))
    for room, group in zip(rooms, layout.groups, strict=True):
        room.attend(query, key, value, layout, group, scaling=scaling, sight=sight)
    return found


def _make_rooms(query: _Heads, layout: Layout, *, from_first: bool) -> "tuple[list[_Room], torch.Tensor]":
    """Of the groups, and where they put what they find: ``[places or examples, heads x size]``."""
    examples = layout.num_first_rows if layout.order is None else len(layout.order)
    found = query.rows.new_zeros((examples if from_first else layout.groups[-1].stop, query.heads * query.size))
    about = query.heads, query.size, query.rows.dtype
    rooms: list[_Room] = []
    start = 0
    for group in layout.groups:
        count = 1 if from_first else group.length
        keys = layout.kept("keys", group.start, *about, make=partial(_Keys, group, query))
        rooms.append(_Room(keys, _Heads(found, *about[:2]), start=start, count=count))
        start += group.examples * count
    return rooms, found


def _hide_padding(rooms: "list[_Room]", layout: Layout) -> None:
    for room, group in zip(rooms, layout.groups, strict=True):
        room.keys.hide(group.bias)


class _Keys:
    """Where the keys and values of a group lie, layer after layer."""

    def __init__(self, group: Group, like: _Heads) -> None:
        self.num_examples, self.length = group.examples, group.length
        self._start, self._shape = group.start, (group.examples, like.heads, group.length, like.size)
        self._keys = like.rows.new_empty(self._shape)
        values = like.rows.new_empty((*self._shape[:-1], like.size + 1))
        self._values, self._units = values[..., :-1], values[..., -1:]
        self.turned, self.values = self._keys.flatten(0, 1).mT, values.flatten(0, 1)
        """``[examples x heads, size, length]``, and ``[examples x heads, length, size + 1]``."""

    def hide(self, bias: torch.Tensor | None) -> None:
        """The places that have one, until others are hidden."""
        self._units.fill_(_UNIT)
        if bias is not None:
            self._units *= (bias == 0)[..., None]

    def by_head(self, part: _Heads) -> torch.Tensor:
        """``[examples, heads, length, size]``"""
        return part.by_example(self._start, self._shape)

    def take(self, key: _Heads, value: _Heads) -> None:
        self._keys.copy_(self.by_head(key))
        torch.mul(self.by_head(value), self._units, out=self._values)


class _Room:
    """Where a group attends, layer after layer.

    Tensors and views of them are made once: for one short text making them takes a quarter of the time that attention does.
    """

    def __init__(self, keys: _Keys, found: _Heads, *, start: int, count: int) -> None:
        """``count`` queries an example, which lie from ``start`` on as what is found does."""
        self.keys, self._start = keys, start
        self._shape = (keys.num_examples, found.heads, count, found.size)
        self._out = found.by_example(start, self._shape)
        self._query = found.rows.new_empty(self._shape)
        self._queries = self._query.flatten(0, 1)
        self._weights = found.rows.new_empty((*self._queries.shape[:2], self.keys.length))
        self._summed = found.rows.new_empty((*self._queries.shape[:2], found.size + 1))
        summed = self._summed.view(*self._shape[:3], found.size + 1)
        self._sums_of_values, self._sums = summed[..., :-1], summed[..., -1:]

    def attend(
        self, query: _Heads, key: _Heads, value: _Heads, layout: Layout, group: Group, *, scaling: float, sight: Sight
    ) -> None:
        queries = query.by_example(self._start, self._shape)
        if layout.is_careful:  # with scores of any size
            k, v = self.keys.by_head(key), self.keys.by_head(value)
            bias = layout.once("bias", group, sight, queries.dtype, make=lambda: _bias(group, sight, like=queries))
            self._out.copy_(functional.scaled_dot_product_attention(queries, k, v, bias, scale=scaling))
            return
        self.keys.take(key, value)
        torch.mul(queries, scaling * _LOG2_E, out=self._query)
        torch.bmm(self._queries, self.keys.turned, out=self._weights).exp2_()
        if sight != EVERYTHING:
            seen = layout.once("seen", group, sight, make=lambda: _bias(group, sight, like=queries) == 0)
            self._weights.view(*self._shape[:3], -1).mul_(seen)
        torch.bmm(self._weights, self.keys.values, out=self._summed)
        torch.div(self._sums_of_values, torch.threshold(self._sums, _LEAST_SUM, math.nan), out=self._out)


def _bias(group: Group, sight: Sight, *, like: torch.Tensor) -> torch.Tensor | None:
    return bias_of(group, sight, dtype=like.dtype, device=like.device)


def _in_places(rows: torch.Tensor, layout: Layout) -> torch.Tensor:
    """``[places, width]`` of ``[rows, width]``."""
    return rows if layout.row_of_place is None else rows.index_select(0, layout.row_of_place)


def _side_by_side(part: torch.Tensor) -> torch.Tensor:
    """``[rows, heads x size]`` of ``[1, heads, rows, size]``."""
    return part[0].transpose(0, 1).reshape(part.shape[2], -1)


def _by_place(part: torch.Tensor, layout: Layout) -> _Heads:
    """Of ``[1, heads, rows, size]``."""
    return _Heads(_in_places(_side_by_side(part), layout), part.shape[1], part.shape[3])


def _parts(joint: torch.Tensor, layout: Layout, *, count: int, heads: int) -> list[_Heads]:
    """``count`` of ``[rows, count x heads x size]``."""
    rows, width = _in_places(joint, layout), joint.shape[1] // count
    return [_Heads(rows, heads, width // heads, number * width) for number in range(count)]


def _by_row(in_places: torch.Tensor, layout: Layout, *, rows: int) -> torch.Tensor:
    """``[rows, width]`` from the places of the groups."""
    if layout.place_of_row is not None:
        return in_places.index_select(0, layout.place_of_row)
    missing = rows - len(in_places)
    return functional.pad(in_places, (0, 0, 0, missing)) if missing else in_places


def _in_order_of_batch(in_groups: torch.Tensor, layout: Layout) -> torch.Tensor:
    """``[layout.num_first_rows, width]`` of a row an example, in the order of the groups."""
    return in_groups if layout.place_of_example is None else in_groups.index_select(0, layout.place_of_example)
