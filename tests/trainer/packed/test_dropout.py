"""Dropout from lanes is dropout: the right share, independent, scaled, and drawn again where torch would draw it again."""

import math

import pytest
import torch

from tests.trainer.packed.conftest import classifier, padding_of
from worker.trainer.forward import choose_forward
from worker.trainer.packed.lanes import LEVELS, Masks, drop


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_share_is_next_to_p_and_the_expectation_right(p, dtype):
    torch.manual_seed(3)
    dropped = drop(torch.ones(1_000_003, dtype=dtype), p).double()
    share = float((dropped == 0).double().mean())
    assert share == pytest.approx(p, abs=1 / LEVELS + 5 * (p * (1 - p) / 1e6) ** 0.5)
    if dtype is torch.float32:
        assert float(dropped.mean()) == pytest.approx(1, abs=5 * (p / (1 - p) / 1e6) ** 0.5)


@pytest.mark.parametrize("p", [0.1, 0.25, 0.001, 0.999])
def test_masks_drop_with_probability_p(p):
    torch.manual_seed(4)
    shares = torch.tensor([Masks(p, dtype=torch.float32).level for _ in range(20_000)]).double() / LEVELS
    assert shares.unique().tolist() == sorted({math.floor(p * LEVELS) / LEVELS, math.ceil(p * LEVELS) / LEVELS} - {1.0})
    if p < 1 - 1 / LEVELS:
        assert float(shares.mean()) == pytest.approx(p, abs=5 * 0.5 / LEVELS / 20_000**0.5)


def test_neighbours_and_masks_are_independent():
    torch.manual_seed(0)
    first, second = (Masks(0.3, dtype=torch.float32).draw(torch.Size([400_000])).double() for _ in range(2))
    for left, right in ((first[1:], first[:-1]), (first[4:], first[:-4]), (first, second)):
        correlation = torch.corrcoef(torch.stack([left, right]))[0, 1]
        assert abs(float(correlation)) < 5 / 400_000**0.5


def test_the_gradient_passes_where_the_value_did():
    values = torch.randn(5000, requires_grad=True)
    torch.manual_seed(1)
    dropped = drop(values, 0.4)
    dropped.sum().backward()
    torch.testing.assert_close(values.grad, dropped.detach() / values.detach(), rtol=1e-5, atol=1e-5)


def test_a_mask_is_a_function_of_torchs_seed():
    shape = torch.Size([64, 3])
    torch.manual_seed(7)
    first = Masks(0.5, dtype=torch.float32).draw(shape)
    other = Masks(0.5, dtype=torch.float32).draw(shape)
    torch.manual_seed(7)
    assert torch.equal(Masks(0.5, dtype=torch.float32).draw(shape), first)
    assert not torch.equal(other, first)


def test_training_without_padding_drops_as_much_as_the_model_says(tokens):
    """The mean of many packed training forwards comes near the mean of many padded ones, and both vary as much."""
    model = classifier("bert", hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2).train()
    padding = padding_of(model)
    indices = list(range(len(tokens)))
    with torch.no_grad():
        batch = padding.batch(tokens, torch.tensor(indices).numpy())
        padded = torch.stack([model(**batch).logits for _ in range(300)])
        forward, _ = choose_forward(model, tokens, padding=padding, bf16=False)
        inputs = forward.collate(tokens, torch.tensor(indices).numpy())
        packed = torch.stack([forward(model, inputs, device=torch.device("cpu")) for _ in range(300)])
    assert model.training
    noise = padded.std(0) / 300**0.5
    assert ((packed.mean(0) - padded.mean(0)).abs() / noise).max() < 7
    assert 0.8 < float(packed.std(0).mean() / padded.std(0).mean()) < 1.25
