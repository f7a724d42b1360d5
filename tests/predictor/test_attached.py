"""Adapters of one base over the real predictor: the base is loaded once, and each answers as peft says it must."""

import asyncio

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from app.prediction.wire import Failure, Prediction
from tests.predictor.conftest import connected
from tests.predictor.tiny_adapters import make_adapter, make_base, of_peft
from tests.predictor.tiny_models import make_model, running_predictor
from worker.predictor.bases import Bases
from worker.predictor.engine import LoadedModel
from worker.predictor.footprint import stored_footprint, total_bytes

TEXTS = [("the cat sat on the mat", None), ("a happy dog ran", None), ("never and never " * 9, None), ("sad", None)]
LABELS = {"two": ("no", "yes"), "three": ("red", "green", "blue"), "five": tuple("abcde")}
VARIANTS = {"two": {}, "three": {"use_rslora": True, "lora_alpha": 3}, "five": {"use_dora": True}}


@pytest.fixture(scope="module")
def base(home):
    return make_base(home / "artefacts")


@pytest.fixture(scope="module")
def adapters(base):
    return {
        name: make_adapter(base, name, labels=labels, seed=number, **VARIANTS[name])
        for number, (name, labels) in enumerate(LABELS.items())
    }


def peft_scores(base, adapter, *, labels):
    tokenizer = AutoTokenizer.from_pretrained(adapter.folder)
    model = of_peft(base, adapter, num_labels=len(labels))
    rows = []
    with torch.no_grad():
        for text, _ in TEXTS:
            logits = model(**tokenizer(text, truncation=True, max_length=32, return_tensors="pt")).logits[0]
            rows.append(dict(zip(labels, logits.softmax(0).tolist(), strict=True)))
    return rows


def test_adapters_with_other_labels_are_asked_in_turns_and_the_base_is_loaded_once(base, adapters, ask):
    async def story(client):
        before = await client.ping()
        questions = [(name, client.predict(TEXTS, **adapters[name].question())) for _ in range(8) for name in adapters]
        answers = await asyncio.gather(*(question for _, question in questions))
        after = await client.ping()
        loads = (after.num_loads - before.num_loads, after.num_base_loads - before.num_base_loads)
        return [name for name, _ in questions], answers, loads

    names, answers, loads = ask(story)
    expected = {name: peft_scores(base, adapters[name], labels=labels) for name, labels in LABELS.items()}
    for name, answer in zip(names, answers, strict=True):
        for found, told in zip(answer.predictions, expected[name], strict=True):
            assert dict(found) == pytest.approx(told, abs=1e-5)
    assert loads == (3, 1)
    assert np.std([row["no"] for row in expected["two"]]) > 0.01


def test_a_base_counts_once_and_goes_with_the_last_that_needs_it(adapters):
    bases = Bases()
    loaded = [LoadedModel.load(adapter.folder, bases=bases) for adapter in adapters.values()]
    alone = loaded[0].memory_bytes
    base_bytes = loaded[0].footprint.base_bytes
    together = total_bytes(model.footprint for model in loaded)
    assert together == base_bytes + sum(model.footprint.own_bytes for model in loaded)
    assert base_bytes > 0.7 * alone
    assert alone < together < 2 * alone
    on_disk = stored_footprint(adapters["two"].folder)
    assert on_disk.base == loaded[0].footprint.base
    assert on_disk.base_bytes >= base_bytes
    del loaded[1:]
    LoadedModel.load(adapters["five"].folder, bases=bases)
    assert bases.num_loads == 1
    loaded.clear()
    LoadedModel.load(adapters["five"].folder, bases=bases)
    assert bases.num_loads == 2


def test_many_adapters_fit_where_few_whole_models_do(home, base, adapters, socket_path, talk_to):
    """Room for the base and all adapters, but not for one more whole model: that one drives them out one by one."""
    footprints = [LoadedModel.load(adapter.folder).footprint for adapter in adapters.values()]
    whole = make_model(home / "artefacts" / "models" / "whole", hidden_size=64, text_fields=("text",))
    room = str(int(1.1 * total_bytes(footprints)))
    assert sum(each.own_bytes + each.base_bytes for each in footprints) > int(room)
    with running_predictor(home, socket_path, "--memory-bytes", room) as process:

        async def story(client):
            await connected(client)
            for adapter in (*adapters.values(), adapters["two"]):
                assert isinstance(await client.predict(TEXTS, **adapter.question()), Prediction)
            full = await client.ping()
            assert isinstance(await client.predict(TEXTS, **whole.question()), Prediction)
            driven_out = await client.ping()
            assert isinstance(await client.predict(TEXTS, **adapters["two"].question()), Prediction)
            return full, driven_out, await client.ping()

        full, driven_out, again = talk_to(process.address, story)
        assert (full.models, full.num_loads, full.num_base_loads) == (["three", "five", "two"], 3, 1)
        assert driven_out.models == ["whole"]
        assert (again.models, again.num_base_loads) == (["two"], 2)


def test_an_unloaded_adapter_leaves_the_base_to_the_others(home, adapters, socket_path, talk_to):
    footprints = {name: LoadedModel.load(adapter.folder).footprint for name, adapter in adapters.items()}
    room = total_bytes(footprints[name] for name in ("two", "five"))
    with running_predictor(home, socket_path, "--memory-bytes", str(room)) as process:

        async def story(client):
            await connected(client)
            for name in ("two", "five", "two", "three", "five", "three"):
                assert isinstance(await client.predict(TEXTS, **adapters[name].question()), Prediction)
            return await client.ping()

        pong = talk_to(process.address, story)
        assert pong.num_loads > 3
        assert pong.num_base_loads == 1


@pytest.mark.parametrize("damage", ["flipped", "missing"])
def test_a_damaged_base_is_said_to_be_and_is_served_on_once_it_is_restored(home, ask, damage):
    own_base = make_base(home / "artefacts", hidden_size={"flipped": 32, "missing": 48}[damage])
    adapter = make_adapter(own_base, damage)
    weights = own_base / "model.safetensors"
    whole = weights.read_bytes()
    if damage == "flipped":
        weights.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    else:
        own_base.rename(own_base.with_name("elsewhere"))
    refused = ask(lambda client: client.predict(TEXTS, **adapter.question()))
    assert isinstance(refused, Failure)
    assert refused.code == "artifact_corrupt"
    assert ("model.safetensors" if damage == "flipped" else "missing") in refused.message
    if damage == "flipped":
        weights.write_bytes(whole)
    else:
        own_base.with_name("elsewhere").rename(own_base)
    assert isinstance(ask(lambda client: client.predict(TEXTS, **adapter.question())), Prediction)


def test_gpt2s_layers_which_hold_their_weights_the_other_way_round():
    """Merged by hand from what peft computes, layer for layer."""
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    from worker.predictor.low_rank import LowRank

    for options in ({}, {"use_dora": True}):
        torch.manual_seed(3)
        layer = Conv1D(6, 4)
        layer.bias.data.normal_()
        config = LoraConfig(r=2, target_modules=["0"], init_lora_weights=False, fan_in_fan_out=True, **options)
        theirs = get_peft_model(torch.nn.Sequential(layer), config).eval()
        inputs = torch.randn(3, 5, 4)
        weights = {
            name.removeprefix("base_model.model.0.").replace(".default", "").replace("vector.weight", "vector"): tensor
            for name, tensor in theirs.state_dict().items()
        }
        ours = LowRank(layer, scaling=config.lora_alpha / config.r)
        ours.put({f"x.{name}": tensor for name, tensor in weights.items()}, layer="x")
        with torch.no_grad():
            expected = theirs(inputs)
            assert (expected - layer(inputs)).abs().max() > 0.1
            torch.testing.assert_close(ours(inputs), expected, atol=1e-5, rtol=1e-5)
            merged = Conv1D(6, 4)
            merged.weight.copy_(ours.merged_weight())
            merged.bias.copy_(layer.bias)
            torch.testing.assert_close(merged(inputs), expected, atol=1e-5, rtol=1e-5)
