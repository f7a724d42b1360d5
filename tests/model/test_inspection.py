import json

import pytest

from app.errors import InvalidModel
from app.model.inspection import inspect_config, inspect_file_names, parse_config
from tests.hub.builders import BERT_CONFIG

BERT = BERT_CONFIG


def refused(config: dict, *, source: str = "hub", tokenizer: dict | None = None) -> str:
    with pytest.raises(InvalidModel) as caught:
        inspect_config(config, source=source, tokenizer_config=tokenizer)
    return caught.value.code


def test_a_bert_is_described():
    info = inspect_config(BERT, source="hub", tokenizer_config={"model_max_length": 48})
    assert (info.model_type, info.architectures) == ("bert", ("BertModel",))
    assert (info.hidden_size, info.num_layers, info.vocab_size, info.max_length) == (16, 1, BERT["vocab_size"], 48)
    assert info.labels is None


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "gpt2", "n_positions": 1024, "n_embd": 768, "n_layer": 12}, 1024),
        ({"model_type": "distilbert", "max_position_embeddings": 512, "dim": 768, "n_layers": 6}, 512),
        ({"model_type": "deberta-v2", "max_position_embeddings": -1}, None),
        ({"model_type": "xlnet", "d_model": 768}, None),
    ],
)
def test_the_longest_input_leaves_out_positions_that_cannot_be_used(config: dict, length: int | None):
    info = inspect_config(config, source="hub", tokenizer_config={"model_max_length": 10**30})
    assert info.max_length == length


def test_labels_are_told_only_if_they_have_names():
    named = {"id2label": {"1": "good", "0": "bad"}}
    numbered = {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}
    assert inspect_config(BERT | named, source="hub").labels == ("bad", "good")
    assert inspect_config(BERT | numbered, source="hub").labels is None


@pytest.mark.parametrize(
    "model_type", ["vit", "whisper", "clip", "layoutlmv3", "mystery", "llava", "encoder-decoder", "t5gemma2", "voxtral"]
)
def test_models_that_do_not_go_from_text_alone_are_refused(model_type: str):
    assert refused({"model_type": model_type}) == "model_unsupported"
    assert refused(BERT | {"is_encoder_decoder": True}) == "model_unsupported"


@pytest.mark.parametrize("model_type", ["t5", "bart", "mt5", "pegasus", "marian"])
def test_an_encoder_decoder_is_known_and_half_of_one_is_refused(model_type: str):
    info = inspect_config({"model_type": model_type, "d_model": 512}, source="hub")
    assert (info.is_encoder_decoder, info.hidden_size) == (True, 512)
    assert not inspect_config(BERT, source="hub").is_encoder_decoder
    assert refused({"model_type": model_type, "is_encoder_decoder": False}) == "model_unsupported"


@pytest.mark.parametrize(
    "evil",
    [
        {"auto_map": {"AutoModel": "modeling.Evil"}},
        {"auto_map": {"AutoConfig": "someone/else--configuration.Evil"}},
        {"trust_remote_code": True},
        {"custom_pipelines": {"text-classification": {"impl": "pipeline.Evil"}}},
        {"text_config": {"nested": [{"auto_map": {"AutoModel": "modeling.Evil"}}]}},
    ],
)
def test_code_of_its_own_is_refused_wherever_it_is_asked_for(evil: dict):
    assert refused(BERT | evil) == "model_has_remote_code"
    assert refused(BERT, tokenizer=evil) == "model_has_remote_code"


@pytest.mark.parametrize(
    "evil",
    [
        {"_attn_implementation": "someone/evil-kernel"},
        {"attn_implementation": "someone/evil-kernel:forward"},
        {"_attn_implementation_internal": "someone/evil-kernel"},
        {"attn_implementation": {"": "eager", "text_config": "someone/evil-kernel"}},
        {"sub": {"_experts_implementation": "someone/evil-kernel"}},
        {"transformers_weights": "../../other/model.safetensors"},
        {"kernel_config": {"RMSNorm": "someone/evil:RMSNorm"}},
    ],
)
def test_a_config_that_names_something_to_load_is_refused(evil: dict):
    assert refused(BERT | evil) == "model_config_unsafe"


def test_an_uploaded_tokenizer_cannot_name_files_of_the_server():
    evil = {"vocab_file": "/etc/passwd"}
    assert refused(BERT, source="upload", tokenizer=evil) == "model_config_unsafe"
    own = {"vocab_file": "vocab.txt", "tokenizer_file": None}
    assert inspect_config(BERT, source="upload", tokenizer_config=own).model_type == "bert"


def test_a_quantised_model_is_refused():
    assert refused(BERT | {"quantization_config": {"quant_method": "gptq"}}) == "model_unsupported"


@pytest.mark.parametrize(
    "absurd",
    [
        {"hidden_size": 10**12},
        {"num_hidden_layers": -1},
        {"vocab_size": 1.5},
        {"num_hidden_layers": True},
        {"max_position_embeddings": "512"},
        {"architectures": "BertModel"},
        {"model_type": 7},
        {"model_type": None},
        {"dtype": "Tensor"},
    ],
)
def test_an_absurd_config_is_refused(absurd: dict):
    assert refused(BERT | absurd) == "model_config_invalid"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"a": NaN}', b"\xff", b"[" * 100_000, b'"' + b"a" * 9_000_000 + b'"', b"null"]
)
def test_what_is_not_a_json_object_is_no_config(content: bytes):
    with pytest.raises(InvalidModel) as caught:
        parse_config(content, name="config.json")
    assert caught.value.code == "model_config_invalid"


def test_a_deeply_nested_config_is_refused():
    deep: dict = {}
    for _ in range(200):
        deep = {"a": deep}
    assert (
        refused(parse_config(json.dumps(BERT | {"sub": deep}).encode(), name="config.json")) == "model_config_invalid"
    )


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["config.json", "pytorch_model.bin", "tokenizer.json"], "model_not_safetensors"),
        (["config.json", "onnx/model.safetensors", "tokenizer.json"], "model_not_safetensors"),
        (["config.json", "model.safetensors"], "model_has_no_tokenizer"),
        (["model.safetensors", "tokenizer.json"], "model_unsupported"),
    ],
)
def test_a_repository_without_a_needed_file_is_refused(names: list[str], code: str):
    with pytest.raises(InvalidModel) as caught:
        inspect_file_names(names)
    assert caught.value.code == code


def test_a_repository_with_everything_passes():
    inspect_file_names(["config.json", "model.safetensors", "pytorch_model.bin", "vocab.txt", "README.md"])
