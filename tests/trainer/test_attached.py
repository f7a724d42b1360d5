"""LoRA published as an adapter alone: small, served on its base, the same answers as merged, and a start for other jobs."""

import json
import shutil

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from app.errors import InvalidModel
from app.manifest import CorruptArtefactError, read_manifest, seal, sha256_of, verify
from app.prediction.wire import Sampling
from app.spec.run import RunSpec
from app.spec.serving import ServingSpec
from tests.decoder import WORDS, build_decoder
from tests.trainer.conftest import reviews, write_jsonl
from tests.trainer.test_language_modeling import counting
from tests.trainer.test_token_classification import tagged
from worker.predictor.bases import Bases
from worker.predictor.engine import LoadedModel
from worker.predictor.errors import ModelLoadError
from worker.predictor.low_rank import LowRank
from worker.trainer.attached import started_whole

LORA = {"type": "lora", "r": 4, "lora_dropout": 0.1}
VARIANTS = {
    "plain": {},
    "rslora": {"use_rslora": True, "r": 8, "target_modules": ["query", "value"]},
    "dora": {"use_dora": True},
}
LEARNS = {"num_train_epochs": 6, "learning_rate": 2e-2}
TEXTS = [(row["text"], None) for row in reviews(20, seed=3)]


@pytest.fixture
def lab(lab, tmp_path):
    """With a base whose weights are large enough that texts differ without much training."""
    lab.model = shutil.copytree(lab.model, tmp_path / "wide-awake")
    path = lab.model / "model.safetensors"
    weights = {name: tensor * 10 if tensor.dim() == 2 else tensor for name, tensor in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    return lab


def attached(lab, *, variant="plain", spec=None, **training):
    return lab.run(spec={"adapter": LORA | VARIANTS[variant] | {"merge": False}, **(spec or {})}, **(LEARNS | training))


def load(attempt, **options):
    return LoadedModel.load(attempt.folder / "model", base=base_of(attempt), **options)


def base_of(attempt):
    return attempt.folder / "bases" / attempt.result.base.weights_sha256


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_answers_as_when_merged_and_as_peft_does(lab, variant):
    found = attached(lab, variant=variant)
    merged = lab.run(spec={"adapter": LORA | VARIANTS[variant]}, **LEARNS)
    served = load(found).logits(TEXTS)
    without_updates = load(found)
    for module in without_updates._model.modules():
        if isinstance(module, LowRank):
            module.up.zero_()
    difference = np.abs(served - without_updates.logits(TEXTS)).max()
    assert min(difference, np.std(served, axis=0).max()) > 0.01, "the update must matter, or this test shows nothing"
    np.testing.assert_allclose(served, LoadedModel.load(merged.folder / "model").logits(TEXTS), atol=2e-5)

    base = AutoModelForSequenceClassification.from_pretrained(lab.model, num_labels=2)
    untuned = base.bert.encoder.layer[0].attention.self.query.weight.clone()
    peft_model = PeftModel.from_pretrained(base, found.folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(found.folder / "model")
    with torch.no_grad():
        theirs = peft_model(**tokenizer([text for text, _ in TEXTS], padding=True, return_tensors="pt")).logits
    np.testing.assert_allclose(served, theirs.numpy(), atol=2e-5)
    assert torch.equal(untuned, load(found).attachment.base.tensors["encoder.layer.0.attention.self.query.weight"])


def test_the_folder_holds_no_weight_of_the_base_and_says_which_it_is(lab):
    found = attached(lab)
    folder = found.folder / "model"
    files = read_manifest(folder).files
    assert [name for name in files if name.endswith(".safetensors")] == ["adapter_model.safetensors"]
    assert {"config.json", "tokenizer.json", "tunery.json", "adapter_config.json", "README.md"} <= files.keys()
    serving = ServingSpec.model_validate_json((folder / "tunery.json").read_bytes())
    weights = lab.model / "model.safetensors"
    assert serving.base.weights_sha256 == sha256_of(weights) == found.result.base.weights_sha256
    assert serving.base.model == "acme/tiny"
    assert verify(base_of(found)).weights_sha256() == sha256_of(weights)
    assert (base_of(found) / "model.safetensors").stat().st_ino == weights.stat().st_ino, "it need not be copied"
    assert found.result.weights_sha256 == sha256_of(folder / "adapter_model.safetensors")
    size = found.result.report["adapter"]["size_bytes"]
    assert size == files["adapter_model.safetensors"]["bytes"] < weights.stat().st_size / 2
    assert json.loads((folder / "config.json").read_text())["id2label"] == {"0": "bad", "1": "good"}


def test_the_report_is_of_the_attached_form(lab):
    """Every evaluation was, and a stopped run goes on to the same bytes."""
    found = attached(lab)
    examples = reviews(20, seed=1)
    logits = load(found).logits([(row["text"], None) for row in examples])
    labels = np.array([row["label"] == "good" for row in examples])
    assert found.result.metrics["eval/accuracy"] == (logits.argmax(axis=1) == labels).mean()
    stopped = lab.run_until(9, spec={"adapter": LORA | {"merge": False}}, **LEARNS)
    resumed = attached(lab, checkpoints=stopped.checkpoints)
    assert resumed.result.weights_sha256 == found.result.weights_sha256


def test_tasks_and_labels_share_a_base_that_is_loaded_once(lab):
    two_classes = attached(lab)
    rows = [row | {"label": row["label"] if row["text"].split()[0] != "the" else "the"} for row in reviews(60)]
    lab.files = {name: write_jsonl(lab.home / f"{name}-3.jsonl", rows) for name in lab.files}
    three_classes = attached(lab, variant="dora")
    lab.files = {name: write_jsonl(lab.home / f"{name}-tags.jsonl", tagged(40, seed=0)) for name in lab.files}
    tagger = attached(lab)
    attempts = [two_classes, three_classes, tagger]
    alone = [load(attempt).logits(TEXTS) for attempt in attempts]
    bases = Bases()
    together = [load(attempt, bases=bases) for attempt in attempts]
    for _ in range(2):
        for model, expected in zip(together, alone, strict=True):
            np.testing.assert_array_equal(model.logits(TEXTS), expected)
    assert bases.num_loads == 1
    assert [model.num_outputs for model in together[:2]] == [2, 3]
    assert together[2].num_outputs > 3
    by_length = {(model.spec.max_length, id(model._tokenizer)) for model in together}
    assert len(by_length) == len({model.spec.max_length for model in together}), "a tokenizer for each that differs"
    places = {model._model.bert.embeddings.word_embeddings.weight.data_ptr() for model in together}
    assert len(places) == 1
    assert all(model.footprint.own_bytes < model.footprint.base_bytes for model in together)
    assert len({(model.footprint.base, model.footprint.base_bytes) for model in together}) == 1

    del together, model
    load(two_classes, bases=bases)
    assert bases.num_loads == 2, "nothing held the base when no model did"


def test_a_job_starts_from_the_whole_of_an_attached_model(lab):
    first = attached(lab)
    folder = first.folder / "model"
    run = RunSpec.model_validate_json((first.folder / "run.json").read_bytes())
    run = run.model_copy(update={"model_path": str(folder), "base_path": str(base_of(first))})
    start = started_whole(run, run_dir=lab.home)
    whole = AutoModelForSequenceClassification.from_pretrained(start.model_path).eval()
    tokenizer = AutoTokenizer.from_pretrained(start.model_path)
    with torch.no_grad():
        theirs = whole(**tokenizer([text for text, _ in TEXTS], padding=True, return_tensors="pt")).logits
    np.testing.assert_allclose(load(first).logits(TEXTS), theirs.numpy(), atol=2e-5)
    assert whole.config.id2label == {0: "bad", 1: "good"}

    lab.model = folder
    written = lab.write(spec={"adapter": {"r": 2, "merge": False}}, learning_rate=1e-9, num_train_epochs=1)
    content = json.loads((written / "run.json").read_text()) | {"base_path": str(base_of(first))}
    (written / "run.json").write_text(json.dumps(content))
    second = lab.run_folder(written)
    assert second.result.base.weights_sha256 != first.result.base.weights_sha256
    np.testing.assert_allclose(load(second).logits(TEXTS), load(first).logits(TEXTS), atol=1e-4)


def test_a_model_that_generates_writes_what_it_wrote_merged(lab, tmp_path):
    """Its head is tied to the table of the base: neither is in the adapter."""
    lab.model = build_decoder(tmp_path / "decoder")
    lab.files = {name: write_jsonl(lab.home / f"{name}-text.jsonl", counting(40, seed=3)) for name in lab.files}
    options = {"num_train_epochs": 6, "learning_rate": 2e-2, "eval_strategy": "no", "save_strategy": "no"}
    adapters = [LORA | {"r": 8, "merge": merge} for merge in (True, False)]
    merged, found = (lab.run(**options, spec={"task": "text-generation", "adapter": adapter}) for adapter in adapters)
    models = [LoadedModel.load(merged.folder / "model"), load(found)]
    prompts = [(" ".join(WORDS[start : start + 2]), None) for start in range(4)]
    texts = [
        [text.text for text in model.generate(model.encode(prompts), Sampling(max_new_tokens=6), stopped=lambda: False)]
        for model in models
    ]
    assert texts[0] == texts[1]
    assert len(set(texts[1])) > 1
    stored = load_file(found.folder / "model" / "adapter_model.safetensors")
    assert all(".lora_" in name for name in stored)


def test_weights_in_several_files_are_kept_with_their_index(lab):
    sharded = lab.home / "sharded"
    AutoModelForSequenceClassification.from_pretrained(lab.model, num_labels=2).save_pretrained(
        sharded, max_shard_size="20KB"
    )
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(lab.model / name, sharded)
    lab.model = sharded
    found = attached(lab, num_train_epochs=1)
    assert {path.name for path in base_of(found).iterdir()} == {
        path.name for path in sharded.iterdir() if "safetensors" in path.name
    } | {"manifest.json"}
    assert load(found).logits(TEXTS).shape == (20, 2)


def test_weights_that_are_no_safetensors_cannot_be_a_base(lab, tmp_path):
    lab.model = shutil.copytree(lab.model, tmp_path / "pickled")
    (lab.model / "model.safetensors").rename(lab.model / "weights.safetensors")
    with pytest.raises(InvalidModel) as refused:
        attached(lab)
    assert (refused.value.code, refused.value.param) == ("model_not_safetensors", "adapter.merge")


def test_a_base_that_is_missing_damaged_or_another_is_not_served_on(lab):
    found = attached(lab, num_train_epochs=1)
    base = base_of(found)
    weights = base / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.unlink()
    weights.write_bytes(content)
    with pytest.raises(CorruptArtefactError, match=r"model\.safetensors has changed"):
        load(found)
    other = lab.home / "other" / base.name
    shutil.copytree(found.folder / "model", other)
    with pytest.raises(CorruptArtefactError, match="another base model"):
        LoadedModel.load(found.folder / "model", base=other)
    shutil.rmtree(base)
    with pytest.raises(CorruptArtefactError, match="is missing"):
        load(found)


def test_an_adapter_that_does_not_fit_its_base_is_not_served(lab):
    found = attached(lab, num_train_epochs=1)
    path = found.folder / "model" / "adapter_model.safetensors"
    whole = load_file(path)
    for change, told in (
        (
            {name: tensor for name, tensor in whole.items() if "classifier" not in name},
            "weights are missing: classifier",
        ),
        (whole | {"base_model.model.surprise.weight": torch.zeros(2)}, "the model has no surprise.weight"),
        ({name: tensor[..., :3] if "lora_A" in name else tensor for name, tensor in whole.items()}, "does not fit"),
    ):
        save_file({name: tensor.contiguous() for name, tensor in change.items()}, path)
        seal(found.folder / "model", about={})
        with pytest.raises(ModelLoadError, match=told):
            load(found).logits(TEXTS)
