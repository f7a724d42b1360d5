"""The stand-in is worth something only if the real libraries take it for the Hub: each test is a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub.builders import GLUE_CONFIGS, NAMES, bert_folder, first_value, glue_files
from tests.hub.fixtures import hub_environment
from tests.hub.server import FakeHub


def run(code: str, **more: str) -> dict:
    """What a fresh interpreter prints as JSON after running ``code``."""
    environment = {**hub_environment(), **more}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


LOAD_MODEL = """
import json, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("org/tiny-bert", revision=REVISION)
model = AutoModelForSequenceClassification.from_pretrained("org/tiny-bert", num_labels=3, revision=REVISION)
ids = tokenizer("the cat sat", "a dog", return_tensors="pt")
print(json.dumps({"ids": ids["input_ids"][0].tolist(), "logits": list(model(**ids).logits.shape),
    "first": model.bert.pooler.dense.weight.flatten()[0].item()}))
"""


def test_transformers_loads_a_model_and_works_from_its_cache_afterwards(fake_hub: FakeHub, tmp_path: Path):
    repository = fake_hub.add_model("org/tiny-bert", bert_folder(tmp_path / "bert"))
    loaded = run(LOAD_MODEL.replace("REVISION", repr(repository.commit)))
    assert loaded["ids"] == [2, 5, 7, 9, 3, 6, 8, 3]
    assert loaded["logits"] == [1, 3]
    assert loaded["first"] == pytest.approx(first_value("pooler.dense.weight"))
    assert any("/org/tiny-bert/resolve/" in line and "model.safetensors" in line for line in fake_hub.requests)

    fake_hub.stop()
    again = run(LOAD_MODEL.replace("REVISION", repr(repository.commit)), HF_HUB_OFFLINE="1")
    assert again == loaded


LOAD_DATASET = """
import json
from datasets import load_dataset
data = {s: load_dataset("nyu-mll/glue", "mrpc", split=s) for s in ("train", "validation", "test")}
print(json.dumps({
    "rows": {s: len(d) for s, d in data.items()}, "names": data["train"].features["label"].names,
    "first": data["train"][1], "hidden": sorted(set(data["test"]["label"]))}))
"""


def test_datasets_loads_a_configuration_with_its_splits_and_class_names(fake_hub: FakeHub):
    fake_hub.add_dataset("nyu-mll/glue", files=glue_files(), configs=GLUE_CONFIGS)
    loaded = run(LOAD_DATASET)
    assert loaded["rows"] == {"train": 40, "validation": 12, "test": 6}
    assert loaded["names"] == NAMES
    assert loaded["first"] == {
        "sentence1": "the cat ran on the road",
        "sentence2": "the cat ran on the road",
        "label": 1,
        "idx": 1,
    }
    assert loaded["hidden"] == [-1]


REFUSALS = """
import json
from datasets import load_dataset
from transformers import AutoConfig
from huggingface_hub import HfApi
def outcome(function):
    try:
        function()
    except Exception as error:
        names = []
        while error is not None:
            names.append(type(error).__name__)
            error = error.__cause__
        return names
    return ["loaded"]
print(json.dumps({
    "unknown model": outcome(lambda: HfApi().model_info("org/none")),
    "gated model": outcome(lambda: AutoConfig.from_pretrained("org/gated")),
    "unknown revision": outcome(lambda: HfApi().model_info("org/gated", revision="v9")),
    "unknown data set": outcome(lambda: load_dataset("org/none")),
    "gated data set": outcome(lambda: load_dataset("org/secret", split="train")),
}))
"""


def test_refusals_are_those_of_the_hub(fake_hub: FakeHub, tmp_path: Path):
    fake_hub.add_model("org/gated", bert_folder(tmp_path / "bert"), gated_for="hf_right")
    fake_hub.add_dataset("org/secret", files={"train.csv": b"text,label\na,0\n"}, gated_for="hf_right")
    refused = run(REFUSALS)
    assert refused["unknown model"][0] == "RepositoryNotFoundError"
    assert "GatedRepoError" in refused["gated model"]
    assert refused["unknown revision"][0] == "RevisionNotFoundError"
    assert refused["unknown data set"][0] == "DatasetNotFoundError"
    assert refused["gated data set"][0] == "DatasetNotFoundError"
    allowed = run(REFUSALS, HF_TOKEN="hf_right")
    assert allowed["gated model"] == ["loaded"]
    assert allowed["gated data set"] == ["loaded"]
