"""Where the head reads the first token of each example alone, the last layer makes nothing else."""

import numpy as np
import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from torch import nn
from torch.nn import functional

from tests.trainer.packed.conftest import classifier, padding_of
from worker.packing.last_layer import LastLayer
from worker.trainer.forward import choose_forward
from worker.trainer.packed import attention, lanes
from worker.trainer.packed.layout import lay_out

CPU = torch.device("cpu")
FIRST_ALONE = ["bert", "roberta", "electra", "distilbert"]
ORDER = np.array([4, 0, 10, 3, 7, 5, 1, 9, 2, 6, 8])


def last_layers(model):
    return [module for module in model.modules() if isinstance(module, LastLayer)]


def chosen(model, tokens, *, bf16=False):
    forward, how = choose_forward(model, tokens, padding=padding_of(model), bf16=bf16)

    def logits():
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return forward(model, forward.collate(tokens, ORDER), device=CPU)

    return logits, how


@pytest.mark.parametrize("name", FIRST_ALONE)
def test_it_makes_as_many_rows_as_there_are_examples(name, tokens):
    model = classifier(name)
    logits, how = chosen(model, tokens)
    (last,) = last_layers(model)
    seen = []
    for module in last.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda module, _inputs, output: seen.append((module, output.shape[1])))
    logits()
    num_rows = {count for _, count in seen if count != len(ORDER)}
    assert len(num_rows) == 1
    wide = [module for module, count in seen if count != len(ORDER)]
    key, value = (getattr(last.projecting, part) for part in last.kind.names[1:])
    assert len(seen) == 6
    assert wide == [key, value]
    assert "first tokens" in how


class _Mean(nn.Module):
    """A head that reads all tokens."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, hidden):
        return self.head(hidden.mean(dim=1, keepdim=True).expand(-1, 2, -1))


def test_a_head_that_reads_more_is_given_more(tokens):
    model = classifier("roberta").eval()
    model.classifier = _Mean(model.classifier)
    _, how = chosen(model, tokens)
    assert not last_layers(model)
    assert "first tokens" not in how
    index = np.array([int(tokens.lengths.argmax())])
    alone = model(**padding_of(model).batch(tokens, index))
    assert alone.logits.shape == (1, 3), "what was tried was taken away again"


def test_mean_pooling_and_decoders_keep_their_last_layer(tokens):
    for name in ("modernbert", "llama"):
        model = classifier(name)
        chosen(model, tokens)
        assert not last_layers(model)


@pytest.mark.parametrize("place", ["", ".attention", ".attention.self"])
def test_a_layer_with_weights_of_its_own_is_left_whole(place, tokens):
    """A gate that is still open answers as if it were not there."""
    model = classifier("bert")
    model.get_submodule(f"bert.encoder.layer.1{place}").gate = nn.Parameter(torch.ones(()))
    chosen(model, tokens)
    assert not last_layers(model)
    assert any("gate" in name for name in model.state_dict())


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("name", FIRST_ALONE)
def test_dropout_is_as_it_was(name, bf16, tokens):
    """In training the last layer drops too: its own share alone makes two forwards differ. Evaluated, none does."""
    model = classifier(name).train()
    logits, _ = chosen(model, tokens, bf16=bf16)
    (last,) = last_layers(model)
    model.eval()
    torch.testing.assert_close(logits(), logits(), rtol=0, atol=0)
    last.train()
    assert not torch.equal(logits(), logits())


def test_attention_drops_weights_and_keeps_their_mean(tokens):
    torch.manual_seed(0)
    layout = lay_out(tokens.lengths[ORDER])
    query, key = torch.randn(1, 4, len(ORDER), 8), torch.randn(1, 4, layout.num_rows, 8)

    def attended(dropout):
        ones = torch.ones_like(key)
        return attention.attention_from_first(query, key, ones, layout, scaling=0.3, dropout=dropout)

    dropped = torch.stack([attended(0.25) for _ in range(200)])
    assert abs(float(dropped.mean()) - 1) < 0.02
    assert float(dropped.std()) > 0.05
    torch.testing.assert_close(attended(0.0), torch.ones_like(dropped[0]))


def test_gradients_with_dropout_are_those_of_what_was_kept(tokens, monkeypatch):
    """With one and the same mask: against attention written out, for each example by itself."""
    kept: list[torch.Tensor] = []

    def draw(self, shape):
        mask = (torch.arange(shape.numel()).view(shape) % 4 != 0).to(self._dtype)
        kept.append(mask)
        return mask

    monkeypatch.setattr(lanes.Masks, "draw", draw)
    lengths = tokens.lengths[ORDER]
    layout = lay_out(lengths)
    query, key, value = (
        torch.randn(1, 4, count, 8, requires_grad=True) for count in (len(ORDER), layout.num_rows, layout.num_rows)
    )
    found = attention.attention_from_first(query, key, value, layout, scaling=0.3, dropout=0.25)
    parts: list[torch.Tensor | None] = [None] * len(ORDER)
    number = 0
    for group, masks in zip(layout.groups, kept, strict=True):
        for mask in masks.view(group.examples, 4, group.length).float():
            example = int(layout.order[number])
            first, length = int(layout.first[example]), int(lengths[example])
            own = slice(first, first + length)
            weights = torch.softmax(0.3 * query[0, :, example, None] @ key[0, :, own].transpose(1, 2), dim=-1)
            weights = weights * mask[:, None, :length] * (256 / 192)
            parts[example] = (weights @ value[0, :, own])[:, 0]
            number += 1
    expected = torch.stack(parts)[None]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    factors = torch.randn_like(found)
    for a, b in zip(
        torch.autograd.grad((found * factors).sum(), (query, key, value)),
        torch.autograd.grad((expected * factors).sum(), (query, key, value)),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_on_other_devices_it_is_the_same(tokens, monkeypatch):
    """The way of GPUs, taken on a CPU."""
    layout = lay_out(tokens.lengths[ORDER])
    counts = (len(ORDER), layout.num_rows, layout.num_rows)
    inputs = [torch.randn(1, 4, count, 8, dtype=torch.float64, requires_grad=True) for count in counts]
    factors = torch.randn(1, len(ORDER), 4, 8, dtype=torch.float64)

    def run():
        out = attention.attention_from_first(*inputs, layout, scaling=0.3)
        return out, *torch.autograd.grad((out * factors).sum(), inputs)

    expected = run()
    monkeypatch.setattr(attention, "_on_cpu", lambda _tensor: False)
    for one, two in zip(expected, run(), strict=True):
        torch.testing.assert_close(one, two)


def test_adapters_in_the_last_layer_are_trained(tokens):
    plain = classifier("bert")
    options = LoraConfig(task_type=TaskType.SEQ_CLS, r=4, target_modules=["query", "value", "dense"], lora_dropout=0.0)
    model = get_peft_model(plain, options).base_model.model.eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()
    padding = padding_of(model)

    def grads(logits):
        functional.cross_entropy(logits, torch.arange(len(ORDER)) % 3, reduction="sum").backward()
        found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        model.zero_grad()
        return found

    expected_logits = model(**padding.batch(tokens, ORDER)).logits
    expected = grads(expected_logits)
    logits, _ = chosen(model, tokens)
    assert last_layers(model)
    torch.testing.assert_close(logits(), expected_logits, atol=1e-4, rtol=1e-4)
    found = grads(logits())
    assert found.keys() == expected.keys()
    assert any("layer.1.attention.self.query.lora_A" in name for name in found)
    for name, grad in expected.items():
        torch.testing.assert_close(found[name], grad, atol=1e-4, rtol=1e-3)
