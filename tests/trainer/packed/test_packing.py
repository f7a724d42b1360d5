"""Packed training is padded training: the same logits and gradients, for every architecture that can be packed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification

from tests.trainer.packed.conftest import classifier, padding_of, uneven_tokens
from worker.trainer.forward import PackedForward, PaddedForward, choose_forward
from worker.trainer.packed import attention
from worker.trainer.packed.layout import LENGTH_ROUNDING, ROW_ROUNDING, lay_out
from worker.trainer.tokens import Words

CPU = torch.device("cpu")
PACKED = ["bert", "roberta", "electra", "distilbert", "modernbert"]
ORDER = np.array([4, 0, 10, 3, 7, 5, 1, 9, 2, 6, 8])


def grads_of(model, logits):
    functional.cross_entropy(logits.float(), torch.arange(len(logits)) % 3, reduction="sum").backward()
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return grads


def relative_difference(found, expected):
    largest = max(float(grad.norm()) for grad in expected.values())
    assert found.keys() == expected.keys()
    return {name: float((found[name] - expected[name]).norm()) / largest for name in expected}


@pytest.mark.parametrize("name", PACKED)
def test_logits_and_gradients_equal_those_of_padded_batches(name, tokens):
    model = classifier(name)
    padding = padding_of(model)
    model.eval()
    expected = model(**padding.batch(tokens, ORDER)).logits
    expected_grads = grads_of(model, expected)
    forward, how = choose_forward(model, tokens, padding=padding, bf16=False)
    assert isinstance(forward, PackedForward), how
    found = forward(model, forward.collate(tokens, ORDER), device=CPU)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert max(relative_difference(grads_of(model, found), expected_grads).values()) < 1e-5


@pytest.mark.parametrize("name", PACKED)
def test_bfloat16_kernels_give_what_autocast_gives(name, tokens):
    """Both round the same inputs; what differs is the order of some sums."""
    model = classifier(name)
    padding = padding_of(model)
    model.eval()
    exact = grads_of(model, model(**padding.batch(tokens, ORDER)).logits)
    with torch.autocast("cpu", torch.bfloat16):
        expected = model(**padding.batch(tokens, ORDER)).logits
    autocast = relative_difference(grads_of(model, expected), exact)
    forward, _ = choose_forward(model, tokens, padding=padding, bf16=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = forward(model, forward.collate(tokens, ORDER), device=CPU)
    ours = relative_difference(grads_of(model, found), exact)
    assert max(ours.values()) < 1.5 * max(autocast.values()) + 1e-3
    assert sum(ours.values()) < 1.2 * sum(autocast.values()) + 1e-3


@pytest.mark.parametrize(("name", "left"), [*((name, False) for name in PACKED), ("llama", False), ("llama", True)])
def test_words_have_the_logits_of_their_tokens_packed_or_padded(name, left, tokens):
    model = classifier(name, AutoModelForTokenClassification).eval()
    padding = replace(padding_of(model), left=left)
    every_third = [np.arange(start, length, 3) for start, length in zip([0, 1, 2] * 4, tokens.lengths, strict=False)]
    words = Words(
        first_tokens=np.concatenate([[-1], *every_third]).astype(np.int32),
        offsets=np.cumsum([0, *map(len, every_third)]) + np.array([0] + [1] * len(every_third)),
    )
    worded = replace(tokens, words=words)
    expected = []
    for index in ORDER:
        with torch.no_grad():
            logits = model(**padding.batch(tokens, np.array([index]))).logits[0]
        expected.append(logits[every_third[index]])
    seen = words.seen(ORDER)
    assert [len(part) for part in expected] == np.bincount(seen.examples, minlength=len(ORDER)).tolist()
    forward, how = choose_forward(model, worded, padding=padding, bf16=False)
    assert isinstance(forward, PackedForward), how
    found = forward(model, forward.collate(worded, ORDER), device=CPU)
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral"])
def test_decoders_are_packed_without_one_text_seeing_another(name, tokens):
    model = classifier(name, AutoModelForCausalLM).eval()
    padding = padding_of(model)
    places = [np.arange(length - 1) for length in tokens.lengths]
    words = Words(first_tokens=np.concatenate(places).astype(np.int32), offsets=np.cumsum([0, *map(len, places)]))
    worded = replace(tokens, words=words)
    alone = [model(**padding.batch(tokens, np.array([index]))).logits[0, :-1] for index in ORDER]
    expected = torch.cat(alone)
    expected_grads = grads_of(model, expected)
    forward, how = choose_forward(model, worded, padding=padding, bf16=False)
    assert isinstance(forward, PackedForward), how
    found = forward(model, forward.collate(worded, ORDER), device=CPU)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert max(relative_difference(grads_of(model, found), expected_grads).values()) < 1e-5


def test_kernels_follow_the_weights(tokens):
    model = classifier("bert")
    padding = padding_of(model)
    model.eval()
    forward, _ = choose_forward(model, tokens, padding=padding, bf16=True)
    inputs = forward.collate(tokens, ORDER)

    def logits():
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            return forward(model, inputs, device=CPU).float()

    before = logits()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    after = logits()
    plain = classifier("bert").eval()
    plain.load_state_dict(model.state_dict())
    expected = plain(**padding.batch(tokens, ORDER)).logits
    assert (after - expected).abs().max() < 0.1 * (after - before).abs().max()


def test_token_types_reach_their_tokens():
    model, tokens = classifier("bert").eval(), uneven_tokens([5, 12, 30, 2], types=True)
    padding = padding_of(model)
    expected = model(**padding.batch(tokens, np.arange(4))).logits
    forward, _ = choose_forward(model, tokens, padding=padding, bf16=False)
    found = forward(model, forward.collate(tokens, np.arange(4)), device=CPU)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["gpt2"])
def test_what_cannot_be_packed_is_padded_in_groups_and_says_so(name, tokens):
    model = classifier(name).eval()
    padding = padding_of(model)
    indices = np.tile(ORDER, 3)
    expected = model(**padding.batch(tokens, indices)).logits
    forward, how = choose_forward(model, tokens, padding=padding, bf16=False)
    assert isinstance(forward, PaddedForward)
    assert "cannot be packed" in how
    inputs = forward.collate(tokens, indices)
    assert sum(part["input_ids"].numel() for part in inputs.parts) < 0.8 * len(indices) * 61
    found = forward(model, inputs, device=CPU)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model(**padding.batch(tokens, indices)).logits, expected)


def test_a_saved_model_knows_nothing_of_packing(tokens, tmp_path):
    model = classifier("bert")
    choose_forward(model, tokens, padding=padding_of(model), bf16=True)
    model.save_pretrained(tmp_path)
    assert "packed" not in (tmp_path / "config.json").read_text()
    fresh = type(model).from_pretrained(tmp_path)
    assert fresh.state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize("lengths", [[1], [5, 5, 5], [64], [3, 100, 1, 50, 50, 7], list(range(1, 90))])
def test_a_layout_gives_each_token_a_place_of_its_own(lengths):
    lengths = np.array(lengths)
    layout = lay_out(lengths)
    assert layout.num_rows % ROW_ROUNDING == 0
    assert layout.num_rows > layout.num_tokens == lengths.sum(), "padding takes the place of a filler"
    ends = [group.stop for group in layout.groups]
    assert [group.start for group in layout.groups] == [0, *ends[:-1]]
    assert sum(group.examples for group in layout.groups) == len(lengths)
    assert all(group.length % LENGTH_ROUNDING == 0 for group in layout.groups)
    rows = layout.row_of_place[layout.row_of_place < layout.num_tokens]
    assert sorted(rows.tolist()) == list(range(layout.num_tokens))
    seen = torch.cat([(group.bias == 0).sum(-1).flatten() if group.bias is not None
                      else torch.full((group.examples,), group.length) for group in layout.groups])  # fmt: skip
    assert seen.tolist() == sorted(lengths)


def test_vectors_are_gathered_into_groups_and_back():
    layout = lay_out(np.array([3, 40, 17, 1]))
    vectors = torch.arange(layout.num_rows * 2 * 3)
    into, back = layout.gathers(2, 3)
    gathered = vectors[into]
    start = 0
    for group in layout.groups:
        size = 2 * 3 * group.examples * group.length
        block = gathered[start : start + size].view(2, group.examples, 3, group.length)
        row = layout.row_of_place[group.start : group.stop].view(group.examples, 1, group.length)
        for part in range(2):
            assert torch.equal(block[part], (row * 2 + part) * 3 + torch.arange(3)[:, None])
        start += size
    assert start == len(gathered)
    assert torch.equal(gathered[back][: layout.num_tokens * 6], vectors[: layout.num_tokens * 6])


def test_attention_on_other_devices_is_the_same(monkeypatch):
    """The way of GPUs, taken on a CPU."""
    layout = lay_out(np.array([9, 3, 40, 17]))
    joint = torch.randn(1, layout.num_rows, 3 * 24, dtype=torch.float64)
    joint[:, layout.num_tokens :] = 0
    wanted = torch.randn(1, layout.num_tokens, 4, 6, dtype=torch.float64)

    def run(window):
        inputs = joint.clone().requires_grad_()
        parts = (part.view(1, -1, 4, 6).transpose(1, 2) for part in inputs.split(24, dim=-1))
        out = attention.grouped_attention(*parts, layout, scaling=0.4, sight=attention.Sight(window=window))[
            :, : layout.num_tokens
        ]
        (out * wanted).sum().backward()
        return out.detach(), inputs.grad

    for window in (None, 5):
        expected = run(window)
        with monkeypatch.context() as other:
            other.setattr(attention, "_on_cpu", lambda _tensor: False)
            found = run(window)
        for one, two in zip(expected, found, strict=True):
            torch.testing.assert_close(one, two)


def test_the_row_has_hardly_any_padding_and_the_groups_little():
    lengths = np.random.default_rng(0).integers(10, 128, 32)
    layout = lay_out(lengths)
    assert layout.num_rows <= lengths.sum() + ROW_ROUNDING
    assert len(layout.row_of_place) < 1.35 * lengths.sum() < 0.8 * 32 * lengths.max()
