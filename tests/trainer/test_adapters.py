"""LoRA: few weights are trained, what is served is what was measured, and the small files load with peft."""

import json

import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from app.errors import InvalidRequest
from app.manifest import read_manifest
from app.spec.job import JobSpec
from app.spec.messages import ResolvedMessage
from app.spec.run import ExitCode
from tests.trainer.conftest import reviews, write_jsonl
from tests.trainer.test_token_classification import tagged
from worker.predictor.engine import LoadedModel
from worker.trainer.adapters import FOLDER

LORA = {"adapter": {"type": "lora", "r": 4, "lora_dropout": 0.1}}
VARIANTS = {
    "plain": {},
    "rslora": {"use_rslora": True, "r": 8},
    "dora": {"use_dora": True},
    "two layers": {"target_modules": ["query", "value"]},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("bf16", [False, True])
def test_the_saved_adapter_on_its_base_answers_as_the_served_model_does(lab, variant, bf16):
    spec = {"adapter": LORA["adapter"] | VARIANTS[variant]}
    attempt = lab.run(spec=spec, num_train_epochs=6, learning_rate=5e-3, bf16=bf16)
    folder = attempt.folder / "model"
    texts = [row["text"] for row in reviews(10, seed=3)]
    served = LoadedModel.load(folder)
    expected = torch.from_numpy(served.logits([(text, None) for text in texts]))
    base = AutoModelForSequenceClassification.from_pretrained(lab.model, num_labels=2)
    with_adapter = PeftModel.from_pretrained(base, folder / FOLDER).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        found = with_adapter(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    rounding = 5e-3 if bf16 else 1e-4  # served in what it was trained in
    torch.testing.assert_close(found, expected, atol=rounding, rtol=rounding)
    trained = load_file(folder / FOLDER / "adapter_model.safetensors")
    assert all(bool(tensor.any()) for name, tensor in trained.items() if "lora_B" in name)


def test_only_the_adapter_and_the_head_are_trained_and_the_checkpoints_hold_no_more(lab):
    attempt = lab.run(spec=LORA)
    base, trained = (
        load_file(lab.model / "model.safetensors"),
        load_file(attempt.folder / "model" / "model.safetensors"),
    )
    changed = {name for name in base if not torch.equal(base[name], trained[f"bert.{name}"])}
    assert changed == {
        f"encoder.layer.{layer}.{part}.weight" for layer in (0, 1) for part in (
            "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
            "intermediate.dense", "output.dense",
        )
    }  # fmt: skip
    stored = load_file(f"{attempt.checkpoints[0]}/model.safetensors")
    assert all("lora_" in name or name.startswith("classifier.") for name in stored)
    adapter = read_manifest(attempt.folder / "model").files[f"{FOLDER}/adapter_model.safetensors"]["bytes"]
    assert adapter < 0.5 * read_manifest(attempt.folder / "model").files["model.safetensors"]["bytes"]
    assert attempt.result.weights_sha256 == attempt.weights
    trained = sum(tensor.numel() for tensor in stored.values())
    assert attempt.result.report["adapter"] == {"num_trained": trained, "size_bytes": adapter}
    config = json.loads((attempt.folder / "model" / FOLDER / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["r"], config["modules_to_save"]) == (
        "acme/tiny",
        4,
        ["classifier"],
    )


@pytest.mark.parametrize("bf16", [False, True])
def test_a_stopped_run_with_an_adapter_ends_with_the_same_weights(lab, bf16):
    options = {"spec": LORA, "bf16": bf16, "num_train_epochs": 3}
    whole = lab.run(**options)
    stopped = lab.run_until(9, **options)
    assert stopped.code is ExitCode.DRAINED
    resumed = lab.run(checkpoints=stopped.checkpoints, **options)
    assert resumed.weights == whole.weights
    seldom = lab.run(**(options | {"eval_strategy": "steps", "eval_steps": 5, "metric_for_best_model": "loss"}))
    assert seldom.points("train/loss") == whole.points("train/loss")


def test_a_checkpoint_of_another_adapter_is_not_resumed_from(lab):
    stopped = lab.run_until(9, spec=LORA)
    other = lab.run(spec={"adapter": {"r": 2}}, checkpoints=stopped.checkpoints)
    assert other.weights == lab.run(spec={"adapter": {"r": 2}}).weights


def test_words_are_tagged_with_an_adapter_too(lab):
    lab.files = {
        "train": write_jsonl(lab.home / "tagged.jsonl", tagged(60, seed=0)),
        "validation": write_jsonl(lab.home / "more.jsonl", tagged(30, seed=1)),
    }
    attempt = lab.run(spec=LORA, num_train_epochs=10, learning_rate=1e-2, eval_strategy="no", save_strategy="no")
    assert attempt.result.metrics["eval/f1"] > 0.4


def test_a_layer_that_is_not_there_is_refused_with_those_that_are(lab):
    with pytest.raises(InvalidRequest, match="no linear layer 'q_proj'") as refused:
        lab.run(spec={"adapter": {"target_modules": ["query", "q_proj"]}})
    assert (refused.value.code, refused.value.param) == ("layer_not_found", "adapter.target_modules")
    assert "query" in refused.value.hint


def test_the_rate_of_an_adapter_is_its_own(lab):
    chosen = [
        lab.run(spec=spec, learning_rate="auto").all_of(ResolvedMessage)[-1].spec.training.learning_rate
        for spec in ({}, LORA)
    ]
    assert chosen[1] > chosen[0]


@pytest.mark.parametrize("adapter", [{"type": "prefix"}, {"r": 0}, {"rank": 8}, {"target_modules": []}])
def test_an_adapter_that_is_none_is_refused(adapter):
    with pytest.raises(ValidationError):
        JobSpec.model_validate({"model": "a/b", "dataset": {"name": "c/d"}, "adapter": adapter})


def test_what_else_starts_at_random_is_saved_with_the_adapter(lab):
    """A finished tagger has no pooler, which a classifier of texts trains beside its adapter."""
    files = dict(lab.files)
    lab.files = {name: write_jsonl(lab.home / f"{name}-tags.jsonl", tagged(40, seed=0)) for name in files}
    tagger = lab.run(num_train_epochs=1).folder / "model"
    lab.files, lab.model = files, tagger
    folder = lab.run(spec=LORA, num_train_epochs=2, learning_rate=5e-3).folder / "model"
    texts = [row["text"] for row in reviews(5, seed=3)]
    expected = torch.from_numpy(LoadedModel.load(folder).logits([(text, None) for text in texts]))
    base = AutoModelForSequenceClassification.from_pretrained(tagger, num_labels=2, ignore_mismatched_sizes=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        found = (
            PeftModel.from_pretrained(base, folder / FOLDER)
            .eval()(**tokenizer(texts, padding=True, return_tensors="pt"))
            .logits
        )
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
