import pytest

from worker.predictor.batching import padded_length, token_budget_batches


def test_every_text_is_in_exactly_one_batch_and_batches_keep_the_budget():
    lengths = [(7 * i) % 61 + 2 for i in range(200)]
    batches = token_budget_batches(lengths, max_tokens=256)
    assert sorted(index for batch in batches for index in batch) == list(range(200))
    for batch in batches:
        assert len(batch) * padded_length(max(lengths[i] for i in batch), limit=256) <= 256


def test_a_batch_holds_texts_of_like_length():
    batches = token_budget_batches([50, 5, 49, 6, 51, 4], max_tokens=180)
    assert [sorted(batch) for batch in batches] == [[0, 2, 4], [1, 3, 5]]


def test_a_text_longer_than_the_budget_goes_alone():
    assert token_budget_batches([5, 900, 5], max_tokens=100) == [[1], [0, 2]]


def test_nothing_makes_no_batch():
    assert token_budget_batches([], max_tokens=100) == []


@pytest.mark.parametrize(
    ("longest", "limit", "expected"), [(1, 512, 8), (8, 512, 8), (9, 512, 16), (30, 31, 31), (40, 31, 40)]
)
def test_rows_are_padded_to_multiples_of_8_within_the_limit(longest, limit, expected):
    assert padded_length(longest, limit=limit) == expected
