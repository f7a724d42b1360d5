"""Updating the rows of the token table that occur is updating the whole table."""

import numpy as np
import pytest
import torch

from app.spec.training import TrainingSpec
from tests.trainer.packed.conftest import VOCABULARY, classifier
from worker.trainer.optim import Schedule, make_optimizer
from worker.trainer.trained_weights import TrainedWeights

STEPS = 6


def trained(token_ids, *, weight_decay, name="bert", reload_at=None):
    model = classifier(name).eval()
    args = TrainingSpec(learning_rate=1e-2, weight_decay=weight_decay, warmup_steps=2)
    schedule = Schedule(args, warmup_steps=2, max_steps=STEPS)
    weights = TrainedWeights(
        model, token_ids=np.array(token_ids), decay=lambda steps: schedule.decay(steps, factor=1.0)
    )
    optimizer = make_optimizer(weights.names, args, factors=dict.fromkeys(weights.names.values(), 1.0))
    inputs = torch.tensor([[5, 6, 7, 5], [8, 9, 6, 6]])
    for step in range(STEPS):
        schedule.set_rate(optimizer, step)
        model(input_ids=inputs).logits.square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        if step == reload_at:
            weights.write_back(step + 1)
            weights.read()
    weights.write_back(STEPS)
    return model, weights


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_rows_and_whole_table_give_the_same_weights(name, weight_decay):
    rows, weights = trained([0, 1, 5, 6, 7, 8, 9], weight_decay=weight_decay, name=name)
    whole, _ = trained(range(VOCABULARY), weight_decay=weight_decay, name=name)
    assert sum(p.numel() for p in weights.parameters) < sum(p.numel() for p in rows.parameters())
    for (label, found), expected in zip(rows.state_dict().items(), whole.state_dict().values(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7, msg=label)


def test_writing_back_in_between_changes_nothing():
    once, _ = trained([5, 6, 7, 8, 9], weight_decay=0.1)
    twice, _ = trained([5, 6, 7, 8, 9], weight_decay=0.1, reload_at=2)
    assert all(torch.equal(a, b) for a, b in zip(once.parameters(), twice.parameters(), strict=True))


def test_names_are_the_models_own():
    model, weights = trained([5, 6, 7, 8, 9], weight_decay=0.0)
    assert sorted(weights.names.values()) == sorted(name for name, _ in model.named_parameters())
