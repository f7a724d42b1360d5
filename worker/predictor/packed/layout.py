"""Where the tokens of a batch lie when they are served.

The row holds the tokens of all examples, one after the other, shortest first, without padding. For attention each is given as many
places as its length, filled up to a multiple of ``LENGTH_ROUNDING``; examples with as many places are a group. How many an example
is given depends on itself alone, and that is what makes its answer the same in every batch; in training, where batches are
what they are, groups are cut for speed (``worker.trainer.packed.layout``).
"""

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch

from worker.packing.groups import Group, padding_bias

LENGTH_ROUNDING: Final = 16
ROW_ROUNDING: Final = 64
"""The row is filled up to a multiple of it: the matrix library meets few shapes, and sums each row's products in one order."""
SHORT_ROW: Final = 128
"""Up to here it may be left as it is, if that order is seen to be the same; one text alone is mostly filler otherwise."""
MOST_KEPT: Final = 8
"""Sizes of texts, by models' heads, for which a thread keeps what attention needs, those used last: up to a megabyte each."""
_threads: Final = threading.local()
_ZERO: Final = torch.zeros(1, dtype=torch.int64)


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
    first_rows: torch.Tensor | None
    """``[num_first_rows]``: the same, and any behind them. None: of one example alone, at the beginning of the row."""
    order: torch.Tensor | None
    """``[examples of the groups]``: their numbers. A group may be filled up with some of the first one's. None: likewise."""
    place_of_example: torch.Tensor | None
    """``[num_first_rows]``: where each is among those of the groups, and any place behind them. None: likewise."""
    lengths: np.ndarray
    """``[examples]``, in tokens."""
    num_rows: int
    num_first_rows: int
    """Rows that products of the first tokens alone are made of."""
    is_careful: bool = False
    """Attention is to bear scores of any size."""
    _made: dict[tuple[object, ...], Any] = field(default_factory=dict, repr=False)
    _kept_as: tuple[object, ...] | None = None
    """None: nothing is."""

    def once(self, *about: object, make: Callable[[], Any]) -> Any:
        """What attention needs besides its inputs: made for the first layer, used by all."""
        if about not in self._made:
            self._made[about] = make()
        return self._made[about]

    def kept(self, *about: object, make: Callable[[], Any]) -> Any:
        """What may be that of an earlier batch, if that was one short text of as many places: else it is made anew each time."""
        return make() if self._kept_as is None else _of_this_thread((*self._kept_as, *about), make=make)

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

    def take_first(self, rows: torch.Tensor) -> torch.Tensor:
        """``[num_first_rows, width]`` of ``[rows, width]``: those of the first tokens, and any behind them."""
        return rows[: self.num_first_rows] if self.first_rows is None else rows.index_select(0, self.first_rows)

    def unpack(self, hidden: torch.Tensor) -> torch.Tensor:
        """``[examples, longest, size]`` from ``[1, rows, size]``, zeros behind each example."""
        unpacked = hidden.new_zeros((len(self.lengths), int(self.lengths.max()), hidden.shape[-1]))
        for number, (start, length) in enumerate(zip(self.starts, self.lengths, strict=True)):
            unpacked[number, :length] = hidden[0, start : start + length]
        return unpacked


def rounded(length: int) -> int:
    """Places that an example of ``length`` tokens takes."""
    return -(-length // LENGTH_ROUNDING) * LENGTH_ROUNDING


def filled_count(count: int) -> int:
    """How many examples attention takes where ``count`` are wanted: it has kernels for each number, of a megabyte each."""
    return 1 << (count - 1).bit_length()


def lay_out(lengths: Sequence[int], *, fills_short_rows: bool = True, is_careful: bool = False) -> Layout:
    """Lay out examples of ``lengths`` tokens, each at least 1."""
    own = np.array(lengths, dtype=np.int64)
    num_rows = filled_up(sum(lengths), fills_short_rows=fills_short_rows)
    num_first_rows = filled_up(len(lengths), fills_short_rows=fills_short_rows)
    if len(lengths) == 1:
        return _of_one_alone(own, num_rows=num_rows, num_first_rows=num_first_rows, is_careful=is_careful)
    places = -(-own // LENGTH_ROUNDING) * LENGTH_ROUNDING
    order = np.argsort(places, kind="stable")
    starts = np.empty_like(own)
    starts[order] = np.cumsum(own[order]) - own[order]
    groups: list[Group] = []
    rows, are_tokens, filled = [], [], []
    place_of_example = np.zeros(num_first_rows, dtype=np.int64)
    for length in np.unique(places):
        members = order[places[order] == length]
        place_of_example[members] = sum(group.examples for group in groups) + np.arange(len(members))
        members = np.append(members, np.repeat(members[:1], filled_count(len(members)) - len(members)))
        is_token = np.arange(length) < own[members][:, None]
        rows.append((starts[members][:, None] + np.where(is_token, np.arange(length), 0)).ravel())
        are_tokens.append(is_token.ravel())
        filled.append(members)
        start = groups[-1].stop if groups else 0
        groups.append(Group(start=start, examples=len(members), length=int(length), bias=padding_bias(~is_token)))
    row, is_token = np.concatenate(rows), np.concatenate(are_tokens)
    place = np.zeros(num_rows, dtype=np.int64)
    of_token = np.flatnonzero(is_token)[::-1]  # the first place of those that were filled up with
    place[row[of_token]] = of_token
    first_rows = np.zeros(num_first_rows, dtype=np.int64)
    first_rows[: len(starts)] = starts
    return Layout(
        groups=tuple(groups),
        row_of_place=torch.from_numpy(row),
        place_of_row=torch.from_numpy(place),
        starts=starts,
        first=torch.from_numpy(starts),
        first_rows=torch.from_numpy(first_rows),
        order=torch.from_numpy(np.concatenate(filled)),
        place_of_example=torch.from_numpy(place_of_example),
        is_careful=is_careful,
        lengths=own,
        num_rows=num_rows,
        num_first_rows=num_first_rows,
    )


def _of_one_alone(own: np.ndarray, *, num_rows: int, num_first_rows: int, is_careful: bool) -> Layout:
    """Its padding lies where the filler of the row does."""
    length = rounded(int(own[0]))
    return Layout(
        groups=(Group(start=0, examples=1, length=length, bias=_padding_of_one(length, int(own[0]))),),
        row_of_place=None,
        place_of_row=None,
        starts=np.zeros(1, dtype=np.int64),
        first=_ZERO,
        first_rows=None,
        order=None,
        place_of_example=None,
        is_careful=is_careful,
        lengths=own,
        num_rows=num_rows,
        num_first_rows=num_first_rows,
        _kept_as=(length, num_first_rows) if num_rows <= SHORT_ROW else None,
    )


@functools.lru_cache(maxsize=256)
def _padding_of_one(length: int, num_tokens: int) -> torch.Tensor | None:
    return padding_bias(np.arange(length)[None] >= num_tokens)


def kept_by_this_thread() -> dict[tuple[object, ...], Any]:
    """By the places of a text, the rows of its first token, and whatever else it is about."""
    kept: dict[tuple[object, ...], Any] = _threads.__dict__.setdefault("kept", {})
    return kept


def _of_this_thread(about: tuple[object, ...], *, make: Callable[[], Any]) -> Any:
    """For one short text, what attention needs takes as long to make as half a layer."""
    kept = kept_by_this_thread()
    found = kept.pop(about) if about in kept else make()
    while len(kept) >= MOST_KEPT:
        kept.pop(next(iter(kept)))
    kept[about] = found
    return found


def filled_up(num_rows: int, *, fills_short_rows: bool) -> int:
    """Rows that products are made of where ``num_rows`` are wanted."""
    short = rounded(num_rows)
    return short if short <= SHORT_ROW and not fills_short_rows else -(-num_rows // ROW_ROUNDING) * ROW_ROUNDING
