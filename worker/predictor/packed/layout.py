"""Where the tokens of a batch lie when they are served.

The row holds the tokens of all examples, one after the other, shortest first, without padding. For attention each is given as many
places as its length, filled up to a multiple of ``LENGTH_ROUNDING``; examples with as many places are a group. How many an example
is given depends on itself alone, and that is what makes its answer the same in every batch; in training, where batches are
what they are, groups are cut for speed (``worker.trainer.packed.layout``).
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
import torch

from worker.packing.groups import Group, padding_bias

LENGTH_ROUNDING: Final = 16
ROW_ROUNDING: Final = 64
"""The row is filled up to a multiple of it: the matrix library meets few shapes, and sums each row's products in one order."""
SHORT_ROW: Final = 128
"""Up to here it may be left as it is, if that order is seen to be the same; one text alone is mostly filler otherwise."""
_SLACK: Final = 12
"""Rows that stay filler in a batch, about. (Of 64 texts of MRPC the fuller of two lanes has 3.4 % more rows than half of the tokens; were
it 0, 4.9 %; were texts taken in order of length, 9.3 %. Of 4 texts 20, 38 and 41 %.)"""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The places of one batch. Examples are numbered in the order in which they were given."""

    groups: tuple[Group, ...]
    row_of_place: torch.Tensor | None
    """``[places]``: number in the row of the token at each place of the groups, for padding that of the example's first token.

    None: the places are the row as it lies.
    """
    place_of_row: torch.Tensor | None
    """``[rows]``: the place of each token, and any place for filler. None likewise."""
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
    starts[order] = np.cumsum(own[order]) - own[order]
    groups: list[Group] = []
    rows, are_tokens = [], []
    for length in np.unique(places):
        members = order[places[order] == length]
        is_token = np.arange(length) < own[members][:, None]
        rows.append((starts[members][:, None] + np.where(is_token, np.arange(length), 0)).ravel())
        are_tokens.append(is_token.ravel())
        start = groups[-1].stop if groups else 0
        groups.append(Group(start=start, examples=len(members), length=int(length), bias=padding_bias(~is_token)))
    num_rows = filled_up(int(own.sum()), fills_short_rows=fills_short_rows)
    row_of_place = place_of_row = None
    if len(own) > 1:  # of one alone the padding lies where the filler of the row does
        row, is_token = np.concatenate(rows), np.concatenate(are_tokens)
        place = np.zeros(num_rows, dtype=np.int64)
        place[row[is_token]] = np.flatnonzero(is_token)
        row_of_place, place_of_row = torch.from_numpy(row), torch.from_numpy(place)
    return Layout(
        groups=tuple(groups),
        row_of_place=row_of_place,
        place_of_row=place_of_row,
        starts=starts,
        first=torch.from_numpy(starts),
        order=torch.from_numpy(order),
        lengths=own,
        num_rows=num_rows,
        num_first_rows=filled_up(len(own), fills_short_rows=fills_short_rows),
    )


def filled_up(num_rows: int, *, fills_short_rows: bool) -> int:
    """Rows that products are made of where ``num_rows`` are wanted."""
    short = rounded(num_rows)
    return short if short <= SHORT_ROW and not fills_short_rows else -(-num_rows // ROW_ROUNDING) * ROW_ROUNDING


def micro_batches(
    lengths: Sequence[int], *, max_rows: int, num_lanes: int, fills_short_rows: bool = True
) -> list[list[int]]:
    """Indices into ``lengths`` by batch, mostly of like lengths, in the order in which lanes should take them.

    No batch has more than ``max_rows`` tokens, but for an example with more, which is one by itself. All are full but the last of each
    lane, as far as there are examples: those share the rest, so that no lane has less to do than another and none waits long
    at the end. Each is given the longest that still fit into as many rows as its products will be made of: few of these are filler.
    """
    left = sorted(range(len(lengths)), key=lambda i: lengths[i])
    own = [lengths[i] for i in left]
    total = sum(own)
    count = min(-(-total // (max_rows * num_lanes)) * num_lanes, len(own))
    num_full = max(0, count - num_lanes)
    num_shares = count - num_full
    rest = max(0, total - num_full * (max_rows - _SLACK)) + num_shares * _SLACK
    unit = LENGTH_ROUNDING if rest <= SHORT_ROW * num_shares and not fills_short_rows else ROW_ROUNDING
    units = -(-rest // unit)
    bounds = [units * number // num_shares * unit for number in range(num_shares)]
    shares = [max_rows] * num_full + [min(end - begin, max_rows) for begin, end in pairwise(bounds)]
    batches: list[list[int]] = []
    while left:
        room = shares[len(batches)] if len(batches) < len(shares) else max_rows  # the last takes what is left
        batch: list[int] = []
        while left and (own[0] <= room or not batch):
            longest_that_fits = bisect_right(own, room) - 1 if own[0] <= room else -1
            batch.append(left.pop(longest_that_fits))
            room -= own.pop(longest_that_fits)
        batches.append(batch)
    return batches
