"""Where the tokens of a batch lie when they are packed.

Examples are sorted by length and cut into a few groups; within a group each takes as many places as the longest of it.
So attention works on plain views ``[examples, length]`` of the packed tokens, without gathering, and all else runs over
one row of tokens of which few are padding.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

GROUP_COST: Final = 60
"""Places of padding that are cheaper than one more group (MiniLM on two cores: 30 to 100 are equal, 160 is slower)."""

LENGTH_ROUNDING: Final = 8
PLACES_ROUNDING: Final = 64
"""Lengths of groups, and the whole row, are filled up to multiples, so that the matrix library meets few shapes: it compiles
a kernel for each. With lengths as they come, attention took 1.7 times as long."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """``examples`` of at most ``length`` tokens each, from place ``start`` of the row."""

    start: int
    examples: int
    length: int
    bias: torch.Tensor | None
    """``[examples, 1, length]``: 0 where there is a token, a large negative number on padding; None: no padding."""

    @property
    def stop(self) -> int:
        return self.start + self.examples * self.length


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The places of one batch."""

    groups: tuple[Group, ...]
    order: torch.Tensor
    """``[examples]``: number in the batch of each example in the order of the row."""
    first: torch.Tensor
    """``[examples]``: place of the first token of each example, in the order of the batch."""
    num_places: int
    max_length: int
    """Of a group: the longest example, rounded up."""

    def to(self, device: torch.device) -> "Layout":
        if device.type == "cpu":
            return self
        groups = tuple(
            Group(
                start=group.start,
                examples=group.examples,
                length=group.length,
                bias=None if group.bias is None else group.bias.to(device),
            )
            for group in self.groups
        )
        return Layout(
            groups=groups,
            order=self.order.to(device),
            first=self.first.to(device),
            num_places=self.num_places,
            max_length=self.max_length,
        )


@dataclass(frozen=True, kw_only=True)
class Places:
    """A layout, and where each token of the batch goes (``token_places`` runs through the examples as they come)."""

    layout: Layout
    token_places: np.ndarray
    positions: np.ndarray
    """Of each token within its example, from 0."""


def lay_out(lengths: np.ndarray) -> Places:
    """Lay out examples of ``lengths`` tokens, each at least 1."""
    order = np.argsort(lengths, kind="stable")
    starts = np.empty(len(lengths), dtype=np.int64)
    groups, place = [], 0
    rounded = -(-lengths[order] // LENGTH_ROUNDING) * LENGTH_ROUNDING
    for begin, end in cut(rounded, cost=GROUP_COST):
        members, length = order[begin:end], int(rounded[end - 1])
        starts[members] = place + np.arange(end - begin) * length
        groups.append(
            Group(start=place, examples=end - begin, length=length, bias=_bias(lengths[members], length=length))
        )
        place += (end - begin) * length
    positions = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    layout = Layout(
        groups=tuple(groups),
        order=torch.from_numpy(order),
        first=torch.from_numpy(starts),
        num_places=-(-place // PLACES_ROUNDING) * PLACES_ROUNDING,
        max_length=int(rounded[-1]),
    )
    return Places(layout=layout, token_places=np.repeat(starts, lengths) + positions, positions=positions)


def cut(ascending: np.ndarray, *, cost: int) -> list[tuple[int, int]]:
    """Cut sorted lengths into the groups (begin, end) that cost least: their places, and ``cost`` each."""
    count = len(ascending)
    least = np.zeros(count + 1)
    begins = np.zeros(count + 1, dtype=np.int64)
    for end in range(1, count + 1):
        costs = least[:end] + (end - np.arange(end)) * ascending[end - 1] + cost
        begins[end] = costs.argmin()
        least[end] = costs[begins[end]]
    cuts, end = [], count
    while end > 0:
        cuts.append((int(begins[end]), end))
        end = int(begins[end])
    return cuts[::-1]


def _bias(lengths: np.ndarray, *, length: int) -> torch.Tensor | None:
    if (lengths == length).all():
        return None
    padding = np.arange(length)[None, :] >= lengths[:, None]
    return torch.from_numpy(np.where(padding, np.float32(-1e9), np.float32(0)))[:, None, :]
