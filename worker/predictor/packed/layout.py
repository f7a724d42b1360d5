"""Where the tokens of a batch lie when they are served.

The row holds the examples one after the other, shortest first, each filled up to a multiple of ``LENGTH_ROUNDING``. Examples of
the same rounded length are a group, which attention takes as it lies there. How much an example is filled up depends on
itself alone, and that is what makes its answer the same in every batch; in training, where batches are what they are,
groups are cut for speed (``worker.trainer.packed.layout``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch

from worker.packing.groups import Group, padding_bias

LENGTH_ROUNDING: Final = 16
ROW_ROUNDING: Final = 64
"""The row is filled up to a multiple of it: the matrix library meets few shapes, and sums each row's products in one order."""
SHORT_ROW: Final = 128
"""Up to here it may be left as it is, if that order is seen to be the same; one text alone is mostly filler otherwise."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The places of one batch. Examples are numbered in the order in which they were given."""

    groups: tuple[Group, ...]
    starts: np.ndarray
    """``[examples]``: number in the row of the first token of each."""
    first: torch.Tensor
    """The same."""
    order: torch.Tensor
    """``[examples]``: their numbers in the order of the row, which is that of the groups."""
    lengths: np.ndarray
    """``[examples]``, in tokens."""
    num_rows: int
    num_first_rows: int
    """Rows that products of the first tokens alone are made of."""
    biases: dict[object, torch.Tensor | None] = field(default_factory=dict, repr=False)
    """What attention adds to its scores: made for the first layer, used by all."""

    def fill(self, values: Sequence[Sequence[int]], *, filler: int) -> torch.Tensor:
        """``[1, rows]``: the values of each example's tokens where they lie."""
        row = np.full(self.num_rows, filler, dtype=np.int64)
        for start, own in zip(self.starts, values, strict=True):
            row[start : start + len(own)] = own
        return torch.from_numpy(row)[None]

    def positions(self) -> torch.Tensor:
        """``[1, rows]``, from 0 within each example; 0 where there is none."""
        return self.fill([range(length) for length in self.lengths], filler=0)

    def mask(self) -> torch.Tensor:
        """``[examples, longest]``: 1 where there is a token."""
        return torch.from_numpy((np.arange(self.lengths.max()) < self.lengths[:, None]).astype(np.int64))

    def unpack(self, hidden: torch.Tensor) -> torch.Tensor:
        """``[examples, longest, size]`` from ``[1, rows, size]``, zeros behind each example."""
        unpacked = hidden.new_zeros((len(self.lengths), int(self.lengths.max()), hidden.shape[-1]))
        for number, (start, length) in enumerate(zip(self.starts, self.lengths, strict=True)):
            unpacked[number, :length] = hidden[0, start : start + length]
        return unpacked


def rounded(length: int) -> int:
    """Places that an example of ``length`` tokens takes."""
    return -(-length // LENGTH_ROUNDING) * LENGTH_ROUNDING


def lay_out(lengths: Sequence[int], *, fills_short_rows: bool = True) -> Layout:
    """Lay out examples of ``lengths`` tokens, each at least 1."""
    own = np.array(lengths, dtype=np.int64)
    places = -(-own // LENGTH_ROUNDING) * LENGTH_ROUNDING
    order = np.argsort(places, kind="stable")
    starts = np.empty_like(own)
    starts[order] = np.cumsum(places[order]) - places[order]
    groups = []
    for length in np.unique(places):
        members = order[places[order] == length]
        is_padding = np.arange(length) >= own[members][:, None]
        groups.append(
            Group(
                start=int(starts[members[0]]),
                examples=len(members),
                length=int(length),
                bias=padding_bias(is_padding),
            )
        )
    total = int(places.sum())
    return Layout(
        groups=tuple(groups),
        starts=starts,
        first=torch.from_numpy(starts),
        order=torch.from_numpy(order),
        lengths=own,
        num_rows=filled_up(total, fills_short_rows=fills_short_rows),
        num_first_rows=filled_up(len(own), fills_short_rows=fills_short_rows),
    )


def filled_up(num_rows: int, *, fills_short_rows: bool) -> int:
    """Rows that products are made of where ``num_rows`` are wanted."""
    short = rounded(num_rows)
    return short if short <= SHORT_ROW and not fills_short_rows else -(-num_rows // ROW_ROUNDING) * ROW_ROUNDING


def micro_batches(lengths: Sequence[int], *, max_rows: int, num_lanes: int) -> list[list[int]]:
    """Indices into ``lengths`` by batch, of like lengths, longest first; no batch has more than ``max_rows`` places.

    An example with more is a batch of its own. Batches are about equal in places and, as far as there are examples, a multiple of
    ``num_lanes`` in number, so that no lane has less to do than another.
    """
    order = sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=True)
    total = sum(map(rounded, lengths))
    count = -(-total // (max_rows * num_lanes)) * num_lanes
    batches: list[list[int]] = []
    room, before = 0, 0
    for index in order:
        places = rounded(lengths[index])
        # An example belongs to the share of all places that its middle lies in.
        is_next = (2 * before + places) * count >= 2 * total * len(batches)
        if places > room or is_next:
            batches.append([])
            room = max_rows
        batches[-1].append(index)
        room -= places
        before += places
    return batches
