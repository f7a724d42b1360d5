"""Where the tokens of a batch lie when they are packed.

All but attention runs over one row of the tokens of all examples, one after the other, without padding. Attention looks at
examples in groups of like length, each in the places of the longest of its group; the tokens are gathered into these places
and back, which costs no more than the copies that bring them into the order of attention's products anyway.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch

from worker.packing.groups import Group, padding_bias

TOKEN_COST: Final = 100
"""What attention does for each place, beside what it does for each pair of places (which costs 1)."""
GROUP_COST: Final = 20_000
"""And for each group, whatever its size. (MiniLM on two cores: 4,000 to 20,000 are equal, 40,000 is 3 % slower.)"""

LENGTH_ROUNDING: Final = 16
ROW_ROUNDING: Final = 64
"""Lengths of groups, and the row, are filled up to multiples, so that the matrix library meets few shapes: it compiles a
kernel for each. (In attention 8 and 32 are 5 % slower than 16: softmax likes rows that fill its vectors.)"""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The places of one batch."""

    groups: tuple[Group, ...]
    row_of_place: torch.Tensor
    """``[places]``: the number in the row of the token at each place of the groups; the first filler's for padding."""
    first: torch.Tensor
    """``[examples]``: number in the row of the first token of each example."""
    order: torch.Tensor
    """``[examples]``: their numbers in the order of the groups."""
    lengths: torch.Tensor
    """``[examples]``, in tokens."""
    num_tokens: int
    num_rows: int
    """Length of the row: the tokens, and at least one filler."""
    biases: dict[Any, torch.Tensor | None] = field(default_factory=dict, repr=False)
    """What attention has made of the groups' biases."""
    _gathers: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict, repr=False)

    def gathers(self, parts: int, heads: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Indices that bring vectors in the order ``[row, parts, heads]`` into that of the groups, and back.

        The order of the groups: one after the other, ``[parts, examples, heads, length]`` in each. Filler rows come back as
        some other row. Made once for all layers.
        """
        found = self._gathers.get((parts, heads))
        if found is None:
            part = torch.arange(parts, device=self.row_of_place.device)[:, None, None, None]
            head = torch.arange(heads, device=self.row_of_place.device)[:, None]
            rows = [
                self.row_of_place[group.start : group.stop].view(group.examples, 1, group.length)
                for group in self.groups
            ]
            into = torch.cat([((row * parts + part) * heads + head).flatten() for row in rows])
            back = into.new_zeros(self.num_rows * parts * heads)
            back[into] = torch.arange(len(into), device=into.device)
            back[self.num_tokens * parts * heads :] = 0
            found = self._gathers[parts, heads] = (into, back)
        return found

    def unpack(self, hidden: torch.Tensor) -> torch.Tensor:
        """``[examples, longest, size]`` from ``[1, rows, size]``, zeros behind each example."""
        unpacked: torch.Tensor = _Unpack.apply(hidden, self)  # type: ignore[no-untyped-call]
        return unpacked

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
            row_of_place=self.row_of_place.to(device),
            first=self.first.to(device),
            order=self.order.to(device),
            lengths=self.lengths.to(device),
            num_tokens=self.num_tokens,
            num_rows=self.num_rows,
        )


class _Unpack(torch.autograd.Function):
    """Every example in a row of its own, zeros behind it."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, layout: "Layout") -> torch.Tensor:
        place = torch.arange(int(layout.lengths.max()), device=hidden.device)
        ctx.is_token = place < layout.lengths[:, None]
        ctx.layout = layout
        out = hidden.new_zeros((*ctx.is_token.shape, hidden.shape[-1]))
        out[ctx.is_token] = hidden[0, : layout.num_tokens]
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        packed = grads[0].new_zeros((ctx.layout.num_rows, grads[0].shape[-1]))
        packed[: ctx.layout.num_tokens] = grads[0][ctx.is_token]
        return packed[None], None


def lay_out(lengths: np.ndarray) -> Layout:
    """Lay out examples of ``lengths`` tokens, each at least 1."""
    num_tokens = int(lengths.sum())
    first = np.cumsum(lengths) - lengths
    order = np.argsort(lengths, kind="stable")
    rounded = -(-lengths[order] // LENGTH_ROUNDING) * LENGTH_ROUNDING
    groups: list[Group] = []
    rows = []
    for begin, end in cut(rounded, cost=GROUP_COST, per_place=rounded + TOKEN_COST):
        members, length = order[begin:end], int(rounded[end - 1])
        is_padding = np.arange(length) >= lengths[members][:, None]
        rows.append(np.where(is_padding, num_tokens, first[members][:, None] + np.arange(length)).ravel())
        start = groups[-1].stop if groups else 0
        groups.append(Group(start=start, examples=end - begin, length=length, bias=padding_bias(is_padding)))
    return Layout(
        groups=tuple(groups),
        row_of_place=torch.from_numpy(np.concatenate(rows)),
        first=torch.from_numpy(first),
        order=torch.from_numpy(order),
        lengths=torch.from_numpy(lengths.astype(np.int64)),
        num_tokens=num_tokens,
        num_rows=(num_tokens // ROW_ROUNDING + 1) * ROW_ROUNDING,
    )


def cut(ascending: np.ndarray, *, cost: int, per_place: np.ndarray | None = None) -> list[tuple[int, int]]:
    """Cut sorted lengths into the groups (begin, end) that cost least.

    A group costs ``cost``, and each of its examples the group's length times the ``per_place`` (or 1) of its longest.
    """
    count = len(ascending)
    weights = ascending if per_place is None else ascending * per_place
    least = np.zeros(count + 1)
    begins = np.zeros(count + 1, dtype=np.int64)
    for end in range(1, count + 1):
        costs = least[:end] + (end - np.arange(end)) * weights[end - 1] + cost
        begins[end] = costs.argmin()
        least[end] = costs[begins[end]]
    cuts, end = [], count
    while end > 0:
        cuts.append((int(begins[end]), end))
        end = int(begins[end])
    return cuts[::-1]
