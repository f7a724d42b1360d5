"""Where the groups of a batch attend: tensors, and views of them, that layer after layer uses.

A softmax in two products and an ``exp2``. What torch's fused attention does takes twice as long on processors without matrix units,
where it makes a small product for each head of each text. The largest score of a row is not subtracted, which would take longer
than all else: a power of two keeps its digits in bfloat16 however large it is. The weights are summed by the product that they are
used in, by a column of a constant beside the values, which is 0 for padding. A row whose weights are too large for that, or all so
small that digits of theirs are lost, comes to no number: such texts are computed again, see ``Layout.is_careful``.
"""

import math
from collections.abc import Sequence
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


class Heads(NamedTuple):
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


class Rooms:
    """Those of all groups of a batch, for heads of one size. For batches with groups of the same size, one after the other."""

    def __init__(self, layout: Layout, heads: int, size: int, dtype: torch.dtype) -> None:
        self._heads, self._size, self._dtype = heads, size, dtype
        self._keys = [_Keys(group, heads, size, dtype) for group in layout.groups]
        self._made: dict[bool, tuple[list[_Room], torch.Tensor]] = {}

    def hide_padding(self, layout: Layout) -> None:
        """That of another batch."""
        for keys, group in zip(self._keys, layout.groups, strict=True):
            keys.hide(group.bias)

    def attend(
        self,
        query: Heads,
        key: Heads,
        value: Heads,
        layout: Layout,
        *,
        scaling: float,
        sight: Sight,
        from_first: bool = False,
    ) -> torch.Tensor:
        """``[places, heads x size]``, or a row for each example of the groups ``from_first``; the next call writes over it."""
        if from_first not in self._made:
            self._made[from_first] = self._make(layout, from_first=from_first)
        rooms, found = self._made[from_first]
        for room, group in zip(rooms, layout.groups, strict=True):
            room.attend(query, key, value, layout, group, scaling=scaling, sight=sight)
        return found

    def _make(self, layout: Layout, *, from_first: bool) -> "tuple[list[_Room], torch.Tensor]":
        """Of the groups, and where they put what they find."""
        examples = layout.num_first_rows if layout.order is None else len(layout.order)
        places = examples if from_first else layout.groups[-1].stop
        found = torch.zeros((places, self._heads * self._size), dtype=self._dtype)
        rooms: list[_Room] = []
        start = 0
        for keys in self._keys:
            count = 1 if from_first else keys.length
            rooms.append(_Room(keys, Heads(found, self._heads, self._size), start=start, count=count))
            start += keys.num_examples * count
        return rooms, found


class _Keys:
    """Where the keys and values of a group lie, layer after layer."""

    def __init__(self, group: Group, heads: int, size: int, dtype: torch.dtype) -> None:
        self.num_examples, self.length = group.examples, group.length
        self._start, self._shape = group.start, (group.examples, heads, group.length, size)
        self._keys = torch.empty(self._shape, dtype=dtype)
        values = torch.empty((*self._shape[:-1], size + 1), dtype=dtype)
        self._values, self._units = values[..., :-1], values[..., -1:]
        self.turned, self.values = self._keys.flatten(0, 1).mT, values.flatten(0, 1)
        """``[examples x heads, size, length]``, and ``[examples x heads, length, size + 1]``."""

    def hide(self, bias: torch.Tensor | None) -> None:
        """The places that have one, until others are hidden."""
        self._units.fill_(_UNIT)
        if bias is not None:
            self._units *= (bias == 0)[..., None]

    def by_head(self, part: Heads) -> torch.Tensor:
        """``[examples, heads, length, size]``"""
        return part.by_example(self._start, self._shape)

    def take(self, key: Heads, value: Heads) -> None:
        self._keys.copy_(self.by_head(key))
        torch.mul(self.by_head(value), self._units, out=self._values)


class _Room:
    """Where a group attends, layer after layer.

    Tensors and views of them are made once: for one short text making them takes a quarter of the time that attention does.
    """

    def __init__(self, keys: _Keys, found: Heads, *, start: int, count: int) -> None:
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
        self, query: Heads, key: Heads, value: Heads, layout: Layout, group: Group, *, scaling: float, sight: Sight
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
