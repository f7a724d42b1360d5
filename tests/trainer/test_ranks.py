"""How the examples of a job are divided between its processes."""

import numpy as np
import pytest

from worker.trainer.group import Place
from worker.trainer.ranks import ALONE, Ranks


def shares(lengths, *, size):
    indices = np.random.default_rng(0).permutation(len(lengths)) + 100
    of_each = [Ranks(Place(rank=rank, size=size)).share(indices, lengths=np.array(lengths)) for rank in range(size)]
    return indices, of_each


@pytest.mark.parametrize("size", [2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 32])
def test_every_example_is_in_one_share_and_no_share_is_larger_by_more_than_one(count, size):
    indices, of_each = shares(np.random.default_rng(1).integers(1, 100, size=count), size=size)
    assert sorted(np.concatenate(of_each)) == sorted(indices)
    sizes = [len(share) for share in of_each]
    assert max(sizes) - min(sizes) <= 1


def test_a_share_keeps_the_order():
    indices, of_each = shares([5, 1, 4, 2, 3, 6, 9, 7], size=2)
    places = {number: place for place, number in enumerate(indices)}
    for share in of_each:
        assert [places[number] for number in share] == sorted(places[number] for number in share)


def test_shares_hold_about_as_many_tokens_whatever_the_order_of_the_batch():
    lengths = np.sort(np.random.default_rng(2).integers(4, 128, size=32))[::-1].copy()
    by_number = dict(zip(range(100, 132), lengths, strict=True))
    of_each = [Ranks(Place(rank=rank, size=2)).share(np.arange(100, 132), lengths=lengths) for rank in range(2)]
    tokens = [sum(by_number[number] for number in share) for share in of_each]
    assert abs(tokens[0] - tokens[1]) < 0.02 * sum(tokens)


def test_alone_a_batch_stays_what_it_is():
    indices = np.array([3, 1, 2])
    assert ALONE.share(indices, lengths=np.array([1, 2, 3])) is indices
    assert ALONE.seed == ()
