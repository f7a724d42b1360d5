"""Freezing and layer-wise rates reach the layers that they should, in every architecture."""

import pytest
import torch
from safetensors.torch import load_file

from app.errors import InvalidRequest
from app.spec.training import TrainingSpec
from tests.trainer.packed.conftest import CONFIGS, classifier
from worker.trainer.layers import depths, rate_factors


@pytest.mark.parametrize("name", CONFIGS)
def test_depths_grow_from_the_embeddings_to_the_head(name):
    found = depths(classifier(name))
    assert set(found.values()) == {0, 1, 2, 3}
    assert all("embed" in n or "wte" in n or "wpe" in n for n, depth in found.items() if depth == 0)
    assert {found[n] for n in found if n.startswith(("classifier", "score"))} == {3}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_layer_learns_at_a_fraction_of_the_rate_above_it(name):
    model = classifier(name)
    factors = rate_factors(model, TrainingSpec(layerwise_lr_decay=0.5))
    assert {depth: factors[n] for n, depth in depths(model).items()} == {0: 0.125, 1: 0.25, 2: 0.5, 3: 1.0}


def test_frozen_layers_stay_and_the_others_learn(lab):
    attempt = lab.run(freeze_layers=1, num_train_epochs=1)
    before, after = load_file(lab.model / "model.safetensors"), load_file(attempt.folder / "model/model.safetensors")
    for name, tensor in before.items():
        same = torch.equal(after[f"bert.{name}"], tensor)
        frozen = name.startswith("embeddings") or "layer.0." in name
        assert same == frozen, name


def test_bfloat16_kernels_leave_frozen_layers_alone(lab):
    attempt = lab.run(freeze_layers=2, num_train_epochs=1, bf16=True)
    before, after = load_file(lab.model / "model.safetensors"), load_file(attempt.folder / "model/model.safetensors")
    assert torch.equal(after["bert.encoder.layer.1.output.dense.weight"], before["encoder.layer.1.output.dense.weight"])
    assert not torch.equal(after["bert.pooler.dense.weight"], before["pooler.dense.weight"])


def test_more_layers_than_there_are_cannot_be_frozen(lab):
    with pytest.raises(InvalidRequest, match="2 layers") as refusal:
        lab.run(freeze_layers=3)
    assert refusal.value.param == "training.freeze_layers"


def test_layerwise_rates_are_used_and_resume_exactly(lab):
    plain, gentle = lab.run(), lab.run(layerwise_lr_decay=0.1)
    base = load_file(lab.model / "model.safetensors")["encoder.layer.0.output.dense.weight"]
    moved = [
        float(
            (load_file(a.folder / "model/model.safetensors")["bert.encoder.layer.0.output.dense.weight"] - base).norm()
        )
        for a in (plain, gentle)
    ]
    assert moved[1] < 0.3 * moved[0]
    resumed = lab.run(layerwise_lr_decay=0.1, checkpoints=gentle.checkpoints[-1:])
    assert resumed.weights == gentle.weights
