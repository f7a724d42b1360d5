"""Attention by products: what a softmax gives, whoever sees whom, and no number where it does not."""

import dataclasses
import threading

import numpy as np
import pytest
import torch

from worker.packing.sight import EVERYTHING, Sight
from worker.predictor.packed import lanes
from worker.predictor.packed import layout as layouts
from worker.predictor.packed.attention import attend, attend_from_first
from worker.predictor.packed.layout import lay_out

HEADS, SIZE = 3, 8
LENGTHS = [5, 16, 17, 31, 40, 1, 16, 9, 40, 7]
SIGHTS = [EVERYTHING, Sight(window=4), Sight(causal=True), Sight(window=20, causal=True)]


@pytest.fixture(params=[LENGTHS, [19], [32]])
def layout(request):
    return lay_out(request.param)


def inputs(layout, *, size=1.0):
    chooser = torch.Generator().manual_seed(3)
    return [torch.randn((1, HEADS, layout.num_rows, SIZE), generator=chooser) * size for _ in range(3)]


def softmax(query, key, value, sight):
    """``[heads, tokens, size]`` each, in float64."""
    query, key, value = query.double(), key.double(), value.double()
    scores = query @ key.transpose(1, 2) * SIZE**-0.5
    distance = torch.arange(key.shape[1])[:, None] - torch.arange(key.shape[1])
    far = (distance < 0) & sight.causal
    if sight.window is not None:
        far |= distance.abs() >= sight.window
    return scores.masked_fill(far[: query.shape[1]], -torch.inf).softmax(-1) @ value


def spans(layout):
    return [slice(start, start + length) for start, length in zip(layout.starts, layout.lengths, strict=True)]


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("is_careful", [False, True])
def test_each_token_is_told_what_a_softmax_gives(layout, sight, is_careful):
    layout = dataclasses.replace(layout, is_careful=is_careful)
    query, key, value = inputs(layout)
    found = attend(query, key, value, layout, scaling=SIZE**-0.5, dropout=0.0, sight=sight)
    assert found.shape == (1, layout.num_rows, HEADS, SIZE)
    for span in spans(layout):
        expected = softmax(query[0, :, span], key[0, :, span], value[0, :, span], sight).transpose(0, 1)
        np.testing.assert_allclose(found[0, span], expected, atol=2e-5)


@pytest.mark.parametrize("is_careful", [False, True])
def test_so_is_the_first_token_of_each(layout, is_careful):
    layout = dataclasses.replace(layout, is_careful=is_careful)
    query, key, value = inputs(layout)
    first = query.index_select(2, layout.first)
    found = attend_from_first(first, key, value, layout, scaling=SIZE**-0.5, dropout=0.0, sight=EVERYTHING)
    assert found.shape == (1, len(layout.lengths), HEADS, SIZE)
    for number, span in enumerate(spans(layout)):
        expected = softmax(first[0, :, [number]], key[0, :, span], value[0, :, span], EVERYTHING).transpose(0, 1)
        np.testing.assert_allclose(found[0, number : number + 1], expected, atol=2e-5)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_scores_too_far_from_0_give_no_number_and_those_less_far_the_right_one(sign):
    """With all scores alike each token is told the mean of the values, or else that it cannot be told."""
    layout = lay_out([16])
    ones = torch.ones((1, HEADS, layout.num_rows, SIZE))
    value = inputs(layout)[2]
    outcomes = []
    for score in np.linspace(20, 200, 61):
        query = ones * sign * score / SIZE
        with lanes.by_threads(1):
            found = attend(query, ones, value, layout, scaling=1.0, dropout=0.0, sight=EVERYTHING)[0, :16]
        outcomes.append(bool(torch.isfinite(found).all()))
        if outcomes[-1]:
            np.testing.assert_allclose(found, value[0, :, :16].mean(1)[None].expand(found.shape), rtol=1e-3, atol=1e-4)
        else:
            assert not torch.isfinite(found).any()
    assert outcomes[0]
    assert not outcomes[-1]
    assert outcomes == sorted(outcomes, reverse=True)


def attended(layout, parts):
    return attend(*parts, layout, scaling=SIZE**-0.5, dropout=0.0, sight=EVERYTHING)[0].clone()


def test_a_text_is_told_nothing_of_the_one_before_it():
    """A thread uses the same tensors for short texts that have as many places."""
    short, long = lay_out([17]), lay_out([32])
    parts = inputs(short)
    expected = softmax(*(part[0, :, :17] for part in parts), EVERYTHING).transpose(0, 1)
    for before in (1.0, torch.inf, torch.nan):
        attended(long, [torch.full_like(part, before) for part in inputs(long)])
        np.testing.assert_allclose(attended(short, parts)[:17], expected, atol=2e-5)


def test_what_is_kept_for_short_texts_has_a_bound():
    kept, most = [], []

    def ask_about_many_lengths():
        for length in range(1, 400, 7):
            layout = lay_out([length])
            for dtype in (torch.float32, torch.bfloat16):
                attended(layout, [part.to(dtype) for part in inputs(layout)])
                kept.append({places for places, *_ in layouts.kept_by_this_thread()})
                most.append(len(layouts.kept_by_this_thread()))

    thread = threading.Thread(target=ask_about_many_lengths)
    thread.start()
    thread.join()
    assert max(most) == layouts.MOST_KEPT
    assert set().union(*kept) == {*range(16, layouts.SHORT_ROW + 1, 16)}, "long ones are not kept"
