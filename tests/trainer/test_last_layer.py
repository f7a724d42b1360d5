"""The last layer of a model: new for new labels, kept for the same, and where it begins."""

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

from app.errors import InvalidRequest
from app.spec.messages import ResolvedMessage
from tests.trainer.conftest import Recorder, task_for
from worker.trainer import base_model

MULTI, NUMBER, SINGLE = "multi_label_classification", "regression", "single_label_classification"

BERT_LIKE = {
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
SHAPES = {
    "bert": BERT_LIKE,
    "roberta": BERT_LIKE,
    "electra": BERT_LIKE | {"embedding_size": 16},
    "modernbert": BERT_LIKE | {"cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2},
    "distilbert": {"vocab_size": 40, "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32, "pad_token_id": 0},
    "qwen3": BERT_LIKE | {"num_key_value_heads": 2, "head_dim": 8},
}


@pytest.fixture
def load(tmp_path, tiny_model, report):
    """Saves a model of random weights and loads it for a task; gives both and the warnings."""

    def run(model, task, *, first_logits=None):
        model.save_pretrained(tmp_path / "base")
        base = base_model.BaseModel(
            source=tmp_path / "base", revision=None, name="acme/base", local_only=True,
            config=AutoConfig.from_pretrained(tmp_path / "base"), tokenizer=AutoTokenizer.from_pretrained(tiny_model),
        )  # fmt: skip
        loaded, _ = base_model.load_model(base, task, first_logits=first_logits, seed=1, report=report)
        return model.state_dict(), loaded.state_dict(), [message.code for message in report.messages]

    return run


@pytest.fixture
def report():
    recorder = Recorder(lambda _: None)
    yield recorder
    recorder.close()


def differing(old, new):
    return {name for name in old if old[name].shape != new[name].shape or not torch.equal(old[name], new[name])}


@pytest.mark.parametrize("kind", SHAPES)
def test_only_the_last_layer_of_a_model_for_other_labels_begins_anew(load, kind):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SHAPES[kind], id2label={0: "a", 1: "b", 2: "c"})
    old, new, warned = load(AutoModelForSequenceClassification.from_config(config), task_for(SINGLE, num_outputs=3))
    assert warned == ["new_head"]
    (changed,) = {name.rpartition(".")[0] for name in differing(old, new)}
    assert new[f"{changed}.weight"].shape[0] == 3
    assert new[f"{changed}.weight"].std() == pytest.approx(0.02, rel=0.6)


def test_layers_before_the_last_that_a_language_model_brings_are_kept(load):
    config = AutoConfig.for_model("modernbert", **SHAPES["modernbert"])
    old, new, warned = load(AutoModelForMaskedLM.from_config(config), task_for(MULTI, num_outputs=2))
    assert warned == ["new_weights"]
    assert torch.equal(old["head.dense.weight"], new["head.dense.weight"])


def test_a_new_last_layer_begins_with_what_can_be_said_without_a_text(load):
    several = task_for(MULTI, num_outputs=2)
    labels = np.array([[1, 0]] * 30 + [[0, 1]] * 3 + [[0, 0]] * 67, dtype=np.uint8)
    first = several.first_logits(labels)
    assert several.scores(first[None])[0] == pytest.approx([0.3, 0.03], abs=0.01)
    config = AutoConfig.for_model("bert", **SHAPES["bert"])
    _, new, _ = load(AutoModelForMaskedLM.from_config(config), several, first_logits=first)
    assert new["classifier.bias"].tolist() == pytest.approx(first)
    assert np.isfinite(several.first_logits(np.array([[1, 0]], dtype=np.uint8))).all()
    assert task_for(NUMBER, num_outputs=1).first_logits(np.array([1, 4], dtype=np.float32)) == [2.5]


def test_a_last_layer_that_is_kept_keeps_its_bias(load):
    config = AutoConfig.for_model("bert", **SHAPES["bert"], num_labels=1)
    model = AutoModelForSequenceClassification.from_config(config)
    _, new, _ = load(model, task_for(NUMBER, num_outputs=1), first_logits=np.array([2.5]))
    assert new["classifier.bias"].tolist() == [0]


def test_classes_without_names_are_those_of_the_same_numbers(load):
    config = AutoConfig.for_model("bert", **SHAPES["bert"], num_labels=3)
    old, new, warned = load(AutoModelForSequenceClassification.from_config(config), task_for(SINGLE, num_outputs=3))
    assert (warned, differing(old, new)) == ([], set())


def test_one_output_is_a_number_whatever_its_name(load):
    config = AutoConfig.for_model("bert", **SHAPES["bert"], num_labels=1)
    old, new, warned = load(AutoModelForSequenceClassification.from_config(config), task_for(NUMBER, num_outputs=1))
    assert (warned, differing(old, new)) == ([], set())


def test_the_length_that_one_job_chose_does_not_bind_the_next(lab):
    first = lab.run(max_length=8, num_train_epochs=1)
    lab.model = first.folder / "model"
    second = lab.run(max_length=16, num_train_epochs=1)
    assert second.all_of(ResolvedMessage)[0].spec.training.max_length == 16
    with pytest.raises(InvalidRequest, match="reads at most 64 tokens"):
        lab.run(max_length=65, num_train_epochs=1)
