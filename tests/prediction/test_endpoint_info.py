"""``GET /models/{id}/info``: what the predictor computes a model in, as it says itself."""

import pytest
import torch
from transformers import GPT2Config, GPT2ForSequenceClassification

from app.prediction.serving import precision_by
from app.prediction.wire import Pong
from tests.contract.endpoints import seal
from tests.prediction.test_predict_api import ask, sealed_by
from tests.predictor.tiny_writers import END, VOCABULARY_SIZE, byte_tokenizer


def make_decoder_classifier(folder):
    """One that cannot be packed, whose record says that it was on the machine that evaluated it."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY_SIZE, n_embd=32, n_layer=2, n_head=4, n_positions=64, num_labels=2, pad_token_id=END + 1,
        id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1},
    )  # fmt: skip
    GPT2ForSequenceClassification(config).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    seal(folder, task="text-classification", labels=["no", "yes"], precision="bfloat16")


def dtype(client, model):
    return client.get(f"/models/{model}/info").json()["model_dtype"]


def test_it_is_what_the_model_was_evaluated_in_until_the_predictor_says_what_it_computes_it_in(
    client, predictor, publish
):
    packed, _, _ = publish("packed", precision="bfloat16")
    padded, _, _ = publish("padded", build=lambda folder: sealed_by(make_decoder_classifier, folder))
    plain, _, _ = publish("plain")
    assert [dtype(client, model) for model in (packed, padded, plain)] == ["bfloat16", "bfloat16", "float32"]
    for model in (packed, padded, plain):
        assert ask(client, model, "a").status_code == 200
    assert [dtype(client, model) for model in (packed, padded, plain)] == ["bfloat16", "float32", "float32"]


def test_without_a_predictor_it_is_what_the_model_was_evaluated_in(client, publish):
    model, _, _ = publish("packed", precision="bfloat16")
    assert dtype(client, model) == "bfloat16"


@pytest.mark.parametrize(
    ("device", "precisions", "told"),
    [
        ("cuda", {}, "float32"),
        ("cuda", {"other": "bfloat16"}, "float32"),
        ("cpu", {"other": "float32"}, "bfloat16"),
        ("cpu", {"tiny": "float32"}, "float32"),
        (None, {}, "bfloat16"),
    ],
)
def test_a_predictor_with_a_gpu_packs_nothing(device, precisions, told):
    pong = Pong(
        request_id=1, pid=1, models=[], num_loads=0, num_waiting=0, num_generating=0, precisions=precisions, device=device
    )  # fmt: skip
    assert precision_by(pong, "tiny", evaluated_in="bfloat16") == told
