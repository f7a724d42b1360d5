"""Attention over packed tokens, group by group: their rows are gathered into the places of the groups, and back."""

import torch
from torch.nn import functional

from worker.packing.sight import EVERYTHING, Sight
from worker.predictor.packed.layout import Layout
from worker.predictor.packed.rooms import Heads, Rooms


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
    found = _rooms(layout, q).attend(q, k, v, layout, scaling=scaling, sight=sight)
    return _by_row(found, layout, rows=rows).view(1, rows, heads, size)


def attend_jointly(joint: torch.Tensor, layout: Layout, *, heads: int, scaling: float) -> torch.Tensor:
    """The same from one tensor ``[rows, 3 x heads x size]`` of queries, keys and values; returns ``[rows, heads x size]``."""
    query, key, value = _parts(joint, layout, count=3, heads=heads)
    found = _rooms(layout, query).attend(query, key, value, layout, scaling=scaling, sight=EVERYTHING)
    return _by_row(found, layout, rows=len(joint))


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
    q = Heads(queries if layout.order is None else queries.index_select(0, layout.order), heads, size)
    k, v = (_by_place(part, layout) for part in (key, value))
    found = _rooms(layout, q).attend(q, k, v, layout, scaling=scaling, sight=sight, from_first=True)
    return _in_order_of_batch(found, layout)[:examples].view(1, examples, heads, size)


def attend_jointly_from_first(
    queries: torch.Tensor, joint: torch.Tensor, layout: Layout, *, heads: int, scaling: float
) -> torch.Tensor:
    """The same of queries ``[layout.num_first_rows, heads x size]`` and of ``joint``, ``[rows, 2 x heads x size]``.

    Returns as many as there are queries.
    """
    in_groups = queries if layout.order is None else queries.index_select(0, layout.order)
    query = Heads(in_groups, heads, queries.shape[1] // heads)
    key, value = _parts(joint, layout, count=2, heads=heads)
    found = _rooms(layout, query).attend(query, key, value, layout, scaling=scaling, sight=EVERYTHING, from_first=True)
    return _in_order_of_batch(found, layout)


def _rooms(layout: Layout, like: Heads) -> Rooms:
    """Where the groups attend, for heads as those of ``like``, with the padding of this batch hidden."""

    def make() -> Rooms:
        rooms: Rooms = layout.kept(*about, make=lambda: Rooms(layout, *about))
        rooms.hide_padding(layout)
        return rooms

    about = like.heads, like.size, like.rows.dtype
    found: Rooms = layout.once(*about, make=make)
    return found


def _in_places(rows: torch.Tensor, layout: Layout) -> torch.Tensor:
    """``[places, width]`` of ``[rows, width]``."""
    return rows if layout.row_of_place is None else rows.index_select(0, layout.row_of_place)


def _side_by_side(part: torch.Tensor) -> torch.Tensor:
    """``[rows, heads x size]`` of ``[1, heads, rows, size]``."""
    return part[0].transpose(0, 1).reshape(part.shape[2], -1)


def _by_place(part: torch.Tensor, layout: Layout) -> Heads:
    """Of ``[1, heads, rows, size]``."""
    return Heads(_in_places(_side_by_side(part), layout), part.shape[1], part.shape[3])


def _parts(joint: torch.Tensor, layout: Layout, *, count: int, heads: int) -> list[Heads]:
    """``count`` of ``[rows, count x heads x size]``."""
    rows, width = _in_places(joint, layout), joint.shape[1] // count
    return [Heads(rows, heads, width // heads, number * width) for number in range(count)]


def _by_row(in_places: torch.Tensor, layout: Layout, *, rows: int) -> torch.Tensor:
    """``[rows, width]`` from the places of the groups."""
    if layout.place_of_row is not None:
        return in_places.index_select(0, layout.place_of_row)
    missing = rows - len(in_places)
    return functional.pad(in_places, (0, 0, 0, missing)) if missing else in_places


def _in_order_of_batch(in_groups: torch.Tensor, layout: Layout) -> torch.Tensor:
    """``[layout.num_first_rows, width]`` of a row an example, in the order of the groups."""
    return in_groups if layout.place_of_example is None else in_groups.index_select(0, layout.place_of_example)
