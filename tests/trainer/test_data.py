"""Splitting, batching and tokenising."""

from itertools import chain

import numpy as np
import pytest
from transformers import AutoTokenizer

from app.errors import InvalidData
from worker.trainer.batching import TrainBatches
from worker.trainer.forward import PaddedForward
from worker.trainer.padding import Padding
from worker.trainer.splitting import stratified_split
from worker.trainer.tokens import Tokens, needed_length, tokenize

LABELS = np.array([0] * 60 + [1] * 35 + [2] * 4 + [3])


def test_a_split_is_stratified_complete_and_the_same_each_time():
    train, validation = stratified_split(LABELS, fraction=0.2, seed=1)
    assert sorted([*train, *validation]) == list(range(100))
    assert np.bincount(LABELS[validation]).tolist() == [12, 7, 1]
    again = stratified_split(LABELS, fraction=0.2, seed=1)[1]
    assert validation.tolist() == again.tolist()
    assert validation.tolist() != stratified_split(LABELS, fraction=0.2, seed=2)[1].tolist()


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.89])
def test_every_class_keeps_an_example_for_training(fraction):
    train, validation = stratified_split(LABELS, fraction=fraction, seed=0)
    assert set(LABELS[train]) == {0, 1, 2, 3}
    assert abs(len(validation) - 100 * fraction) <= 1


def test_data_without_two_of_a_kind_cannot_be_split():
    with pytest.raises(InvalidData):
        stratified_split(np.array([0, 1, 2]), fraction=0.3, seed=0)


@pytest.fixture
def tokenizer(tiny_model):
    return AutoTokenizer.from_pretrained(tiny_model)


def test_tokens_are_those_of_the_tokenizer_and_come_from_the_cache_the_second_time(tokenizer, tmp_path):
    texts, pairs = ["the film was fine", "bad"], ["the plot", "dull and grim music"]
    options = {"max_length": 7, "cache_dir": tmp_path}
    fresh = tokenize(tokenizer, texts, pairs, **options)
    expected = tokenizer(texts, pairs, truncation=True, max_length=7)
    assert fresh.columns["input_ids"].tolist() == [*chain(*expected["input_ids"])]
    assert fresh.columns["token_type_ids"].tolist() == [*chain(*expected["token_type_ids"])]
    assert (fresh.lengths.tolist(), fresh.truncated.tolist()) == ([7, 7], [1, 1])
    (entry,) = (tmp_path / "tokens").iterdir()
    written_at = entry.stat().st_mtime_ns
    cached = tokenize(tokenizer, texts, pairs, **options)
    assert {name: array.tolist() for name, array in cached.columns.items()} == {
        name: array.tolist() for name, array in fresh.columns.items()
    }
    assert entry.stat().st_mtime_ns == written_at


def test_other_texts_limits_and_pairings_are_other_cache_entries(tokenizer, tmp_path):
    for texts, pairs, limit in ((["a", "b"], None, 8), (["ab"], None, 8), (["a", "b"], None, 9), (["a"], ["b"], 8)):
        tokenize(tokenizer, texts, pairs, max_length=limit, cache_dir=tmp_path)
    assert len(list((tmp_path / "tokens").iterdir())) == 4


def test_a_damaged_cache_entry_is_made_anew(tokenizer, tmp_path):
    fresh = tokenize(tokenizer, ["the film", "was bad"], None, max_length=8, cache_dir=tmp_path)
    file = next((tmp_path / "tokens").glob("*/tokens.safetensors"))
    file.write_bytes(file.read_bytes()[:-1] + b"\xff")
    again = tokenize(tokenizer, ["the film", "was bad"], None, max_length=8, cache_dir=tmp_path)
    assert again.columns["input_ids"].tolist() == fresh.columns["input_ids"].tolist()


def tokens_of(*lengths):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Tokens(
        columns={"input_ids": np.arange(1, offsets[-1] + 1)}, offsets=offsets, truncated=np.zeros(len(lengths))
    )


def test_the_needed_length_is_rounded_up_within_the_limit():
    assert [needed_length([tokens_of(3, 17)], limit=limit) for limit in (20, 512)] == [20, 24]


@pytest.mark.parametrize(("side", "row"), [("right", [1, 2, 0]), ("left", [0, 1, 2])])
def test_batches_are_padded_to_their_longest(side, row):
    padding = Padding(fillers={"input_ids": 0, "token_type_ids": 0}, left=side == "left")
    inputs = padding.batch(tokens_of(2, 3, 9), np.array([0, 1]))
    assert inputs["input_ids"].tolist() == [row, [3, 4, 5]]
    assert inputs["attention_mask"].tolist() == [[int(token > 0) for token in row], [1, 1, 1]]


def batches_of(*, lengths=(2,) * 11, batch_size=3, accumulation=2, by_length=False):
    forward = PaddedForward(Padding(fillers={"input_ids": 0, "token_type_ids": 0}, left=False))
    return TrainBatches(
        tokens_of(*lengths),
        np.arange(len(lengths)),
        forward=forward,
        batch_size=batch_size,
        accumulation=accumulation,
        seed=0,
        by_length=by_length,
    )


def examples_of(steps):
    return [[int(i) for i in np.concatenate(step.micro_batches)] for step in steps]


def test_an_epoch_shows_each_example_once_in_an_order_of_its_own():
    orders = [[*chain(*examples_of(batches_of().of_epoch(epoch)))] for epoch in (0, 1, 0)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(11))
    assert orders[0] == orders[2] != orders[1]


def test_a_step_has_its_micro_batches_and_the_last_is_short():
    steps = list(batches_of(accumulation=3).of_epoch(0))
    assert [[len(m) for m in step.micro_batches] for step in steps] == [[3, 3, 3], [2]]
    assert [step.num_examples for step in steps] == [9, 2]


def test_an_epoch_can_be_entered_in_the_middle():
    whole = examples_of(batches_of().of_epoch(1))
    assert examples_of(batches_of().of_epoch(1, start_at=1)) == whole[1:]


def test_batches_by_length_hold_like_lengths_in_an_order_of_the_epochs_own():
    lengths = [int(length) for length in np.random.default_rng(1).integers(1, 100, 203)]
    batches = batches_of(lengths=lengths, batch_size=8, accumulation=1, by_length=True)
    epochs = [examples_of(batches.of_epoch(epoch)) for epoch in (0, 1, 0)]
    assert epochs[0] == epochs[2] != epochs[1]
    spread = []
    for epoch in epochs:
        assert sorted(chain(*epoch)) == list(range(203))
        assert [len(step) for step in epoch] == [8] * 25 + [3]
        spread += [np.ptp([lengths[i] for i in step]) for step in epoch]
    assert np.mean(spread) < 25, "of a hundred lengths, random batches of 8 span 78 on average"
    middles = [np.mean([lengths[i] for i in step]) for step in epochs[0][:-1]]
    assert middles != sorted(middles, reverse=True), "long batches do not all come first"
    assert examples_of(batches.of_epoch(1, start_at=9)) == epochs[1][9:]


@pytest.mark.parametrize(("parts", "sizes"), [(1, [3, 3]), (2, [2, 1, 2, 1]), (4, [1] * 6)])
def test_parts_of_a_micro_batch_have_the_same_examples(parts, sizes):
    batches = batches_of()
    step = next(batches.of_epoch(0))
    found = list(batches.micro_batches(step, parts=parts))
    assert [len(micro_batch.labels) for micro_batch in found] == sizes
    assert [int(label) for m in found for label in m.labels] == examples_of([step])[0]
