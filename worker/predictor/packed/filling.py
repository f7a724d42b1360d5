"""Which of the texts that wait make the next micro-batch: the oldest, and behind them such as fill its row to the end."""

from collections.abc import Sequence
from typing import Final

from worker.predictor.packed.layout import LENGTH_ROUNDING, ROW_ROUNDING, SHORT_ROW

_CHOSEN: Final = 160
"""Tokens at the end of a row that are chosen among those who wait, and not taken as they come."""
_MOST_CHOICES: Final = 64
"""Texts among which they are."""


def row_room(num_tokens: int, *, stepped_rows: int, max_rows: int, num_free: int, fills_short_rows: bool) -> int:
    """Tokens that one of ``num_free`` lanes should take of ``num_tokens`` that wait: its share, in rows that are made anyway.

    There are rows of every step up to ``stepped_rows``, and of ``max_rows``.
    """
    share = -(-num_tokens // num_free)
    if share > stepped_rows:
        return max_rows if num_tokens >= max_rows else stepped_rows
    unit = LENGTH_ROUNDING if share <= SHORT_ROW and not fills_short_rows else ROW_ROUNDING
    return -(-share // unit) * unit


def fill(lengths: Sequence[int], room: int) -> list[int]:
    """Numbers of those of ``lengths``, in their order, that are together at most ``room``, the first in any case."""
    number, left = 0, room
    while number < len(lengths) and (number == 0 or left - lengths[number] >= _CHOSEN):
        left -= lengths[number]
        number += 1
    return [*range(number), *(number + other for other in _best_sum(lengths[number : number + _MOST_CHOICES], left))]


def _best_sum(lengths: Sequence[int], room: int) -> list[int]:
    """Numbers of those whose sum comes nearest to ``room`` without passing it, the first ones where there are several ways."""
    if room <= 0:
        return []
    sums = [1]  # that some of the first so many have: a bit for each
    for length in lengths:
        sums.append((sums[-1] | sums[-1] << length) & ((2 << room) - 1))
    total = sums[-1].bit_length() - 1
    found = []
    for number in reversed(range(len(lengths))):
        if not sums[number] >> total & 1:
            found.append(number)
            total -= lengths[number]
    return found[::-1]
