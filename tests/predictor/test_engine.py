import random

import numpy as np
import orjson
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from app import manifest
from app.manifest import CorruptArtefactError
from tests.predictor.tiny_models import WORDS
from worker.predictor.engine import LoadedModel
from worker.predictor.errors import ModelLoadError


@pytest.fixture(scope="module")
def texts():
    chooser = random.Random(7)

    def sentence():
        return " ".join(chooser.choices(WORDS, k=chooser.randint(0, 30)))

    return [(sentence(), sentence() if chooser.random() < 0.7 else None) for _ in range(100)]


def plain_logits(folder, text, pair, *, max_length):
    """What somebody gets who loads the folder with transformers and asks one text at a time."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        return (
            model(**tokenizer(text, pair, truncation=True, max_length=max_length, return_tensors="pt"))
            .logits[0]
            .numpy()
        )


def test_logits_are_those_of_plain_transformers(pair_model, texts):
    model = LoadedModel.load(pair_model.folder)
    served = model.logits(texts[:20])
    plain = [plain_logits(pair_model.folder, *text, max_length=32) for text in texts[:20]]
    np.testing.assert_allclose(served, plain, atol=1e-5)
    assert np.std(served, axis=0).min() > 0.01, "the model must tell texts apart, or this test shows nothing"


def test_batching_does_not_change_logits_or_order(pair_model, texts):
    model = LoadedModel.load(pair_model.folder)
    alone = np.concatenate([model.logits([text]) for text in texts])
    for max_tokens in (40, 300, 16_384):
        np.testing.assert_allclose(model.logits(texts, max_tokens=max_tokens), alone, atol=1e-5)


def test_bfloat16_stays_near_float32_and_its_logits_keep_all_their_digits(new_model, texts):
    exact = LoadedModel.load(new_model("exact").folder).logits(texts)
    model = LoadedModel.load(new_model("half", precision="bfloat16").folder)
    served = model.logits(texts)
    assert model.memory_bytes < LoadedModel.load(new_model("in-float32").folder).memory_bytes * 0.6
    assert np.abs(served - exact).max() < 0.15 * np.abs(exact).max()
    rounded = torch.from_numpy(served).bfloat16().float().numpy()
    assert (rounded != served).mean() > 0.9


def test_truncation_is_told_and_cuts_to_max_length(pair_model):
    model = LoadedModel.load(pair_model.folder)
    short, long, pair = model.encode([("cat", None), ("cat " * 60, None), ("cat " * 20, "dog " * 20)])
    assert (short.truncated, short.num_tokens) == (False, 3)
    assert (long.truncated, long.num_tokens) == (True, 32)
    assert (pair.truncated, pair.num_tokens) == (True, 32)


def test_a_flipped_byte_is_found_before_anything_is_loaded(new_model):
    broken = new_model("with-a-flipped-byte")
    weights = broken.folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CorruptArtefactError, match=r"model\.safetensors"):
        LoadedModel.load(broken.folder)


def test_a_model_sealed_anew_is_not_the_published_one(new_model):
    replaced = new_model("replaced")
    other = manifest.seal(replaced.folder, about={"by": "somebody else"})
    LoadedModel.load(replaced.folder, expected_manifest_sha256=other.sha256)
    with pytest.raises(CorruptArtefactError):
        LoadedModel.load(replaced.folder, expected_manifest_sha256=replaced.manifest_sha256)


def test_missing_weights_are_not_made_up(new_model):
    headless = new_model("headless")
    path = headless.folder / "model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if "classifier" not in k}, path, metadata={"format": "pt"})
    manifest.seal(headless.folder, about={})
    with pytest.raises(ModelLoadError, match="classifier"):
        LoadedModel.load(headless.folder)


@pytest.mark.parametrize(
    ("file", "change", "reason"),
    [
        ("config.json", {"auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.T", None]}}, "auto_map"),
        ("tunery.json", {"labels": ["yes", "no"]}, "3 outputs for 2 labels"),
        ("tunery.json", {"surprise": 1}, "tunery.json"),
    ],
)
def test_a_folder_that_cannot_be_served_as_meant_is_refused(new_model, request, file, change, reason):
    odd = new_model(f"odd-{request.node.callspec.id}".replace(".", "").replace(" ", ""))
    path = odd.folder / file
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), **change}))
    manifest.seal(odd.folder, about={})
    with pytest.raises(ModelLoadError, match=reason):
        LoadedModel.load(odd.folder)
