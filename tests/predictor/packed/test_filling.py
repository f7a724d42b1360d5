"""Which texts make a micro-batch."""

import numpy as np
import pytest

from worker.predictor.packed.filling import fill, row_room

MOST = 512


def filled(lengths, room):
    numbers = fill(lengths, room)
    assert numbers == sorted({*numbers})
    return numbers, sum(lengths[number] for number in numbers)


@pytest.mark.parametrize("seed", range(5))
def test_a_row_is_filled_to_the_end_and_the_oldest_are_in_it(seed):
    lengths = np.random.default_rng(seed).integers(20, 90, 40).tolist()
    numbers, total = filled(lengths, MOST)
    assert total == MOST
    assert numbers[:3] == [0, 1, 2]


def test_everybody_has_his_turn_however_others_fit():
    """Long texts are not passed over for ever by short ones that go on coming."""
    chooser = np.random.default_rng(0)
    waiting = [(int(length), 0) for length in chooser.integers(3, 200, 60)]
    for _ in range(300):
        numbers, _ = filled([length for length, _ in waiting], MOST)
        assert max(age for _, age in waiting) < 60
        left = [(length, age + 1) for number, (length, age) in enumerate(waiting) if number not in numbers]
        waiting = left + [(int(length), 0) for length in chooser.integers(3, 200, len(numbers))]


def test_one_longer_than_a_row_is_taken_by_itself():
    assert fill([600, 3, 4], MOST) == [0]
    assert fill([3, 600, 4], MOST) == [0, 2]


def test_all_are_taken_where_there_is_room_and_none_where_there_are_none():
    assert fill([5, 9, 40, 7], MOST) == [0, 1, 2, 3]
    assert fill([], MOST) == []


def test_of_those_that_fill_it_alike_the_oldest_are_taken():
    assert fill([100, 30, 20, 20, 30], 150) == [0, 1, 2]


def room(num_tokens, num_free, *, fills_short_rows=False):
    return row_room(num_tokens, stepped_rows=MOST, max_rows=768, num_free=num_free, fills_short_rows=fills_short_rows)


@pytest.mark.parametrize(
    ("num_tokens", "num_free", "expected"),
    [(10_000, 2, 768), (800, 1, 768), (700, 1, MOST), (1100, 2, 768), (1000, 2, MOST), (400, 2, 256), (400, 1, 448),
     (130, 2, 80), (50, 2, 32), (3, 4, 16)],
)  # fmt: skip
def test_a_lane_takes_its_share_in_rows_that_are_made_anyway(num_tokens, num_free, expected):
    """Of every step up to 512, and 768 if so many can be filled."""
    assert room(num_tokens, num_free) == expected


def test_where_short_rows_are_filled_up_a_share_is_as_large():
    assert room(50, 2, fills_short_rows=True) == 64
