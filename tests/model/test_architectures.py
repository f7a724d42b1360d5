import pytest

from app.model.architectures import (
    ENCODER_DECODERS,
    NOT_TEXT_ALONE,
    NOT_TEXT_TO_TEXT,
    TEXT_CLASSIFIERS,
    TEXT_TO_TEXT,
)
from app.spec.heads import OTHER_NAMES, READS_BOTH_WAYS, WITHOUT_HEAD, has_head
from app.spec.positions import POSITIONS_AFTER_PADDING


def test_the_known_model_types_are_those_of_transformers():
    from transformers import __version__
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES as WRITERS
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as HEADS

    for known, heads in (
        (TEXT_CLASSIFIERS | ENCODER_DECODERS | NOT_TEXT_ALONE, HEADS),
        (TEXT_TO_TEXT | NOT_TEXT_TO_TEXT, WRITERS),
    ):
        assert set(heads) <= known
        if __version__.startswith("5.23."):
            assert known == set(heads)


def test_every_encoder_decoder_and_nothing_else_is_called_one():
    from transformers import CONFIG_MAPPING

    for model_type in TEXT_CLASSIFIERS | ENCODER_DECODERS | TEXT_TO_TEXT:
        if model_type in CONFIG_MAPPING:
            config = CONFIG_MAPPING[model_type]
            is_one = bool(getattr(config(), "is_encoder_decoder", False))
            assert is_one == (model_type in ENCODER_DECODERS | TEXT_TO_TEXT), model_type


def test_no_model_type_has_two_verdicts():
    assert not TEXT_CLASSIFIERS & ENCODER_DECODERS
    assert not TEXT_CLASSIFIERS & NOT_TEXT_ALONE
    assert not ENCODER_DECODERS & NOT_TEXT_ALONE
    assert not TEXT_TO_TEXT & (TEXT_CLASSIFIERS | NOT_TEXT_ALONE | NOT_TEXT_TO_TEXT)
    assert POSITIONS_AFTER_PADDING <= TEXT_CLASSIFIERS


def test_the_model_types_without_a_head_are_those_of_transformers():
    from transformers import __version__
    from transformers.models.auto import modeling_auto

    mappings = {
        "token-classification": modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
        "text-generation": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        "question-answering": modeling_auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
    }
    assert WITHOUT_HEAD.keys() == mappings.keys()
    for task, heads in mappings.items():
        assert TEXT_CLASSIFIERS - set(heads) <= WITHOUT_HEAD[task]
        if __version__.startswith("5.23."):
            assert TEXT_CLASSIFIERS - set(heads) == WITHOUT_HEAD[task]


@pytest.mark.parametrize("model_type", ["gpt2", "gpt_neox", "opt", "bloom", "mistral", "llama", "qwen3"])
def test_a_decoder_finds_answers_if_the_class_for_that_finds_its_weights(tmp_path, model_type):
    """Nearly all of them, or next to none: what is new of the former is the head."""
    from transformers import AutoModelForQuestionAnswering

    from tests.predictor.tiny_writers import build_writer

    model = build_writer(model_type)
    model.save_pretrained(tmp_path)
    _, loading = AutoModelForQuestionAnswering.from_pretrained(tmp_path, output_loading_info=True)
    fits = len(loading["missing_keys"]) == 2
    architectures = model.config.architectures or [type(model).__name__]
    asked = {"model_type": model_type, "is_decoder": False}
    assert has_head("question-answering", architectures=architectures, **asked) == fits
    assert fits == (model_type not in OTHER_NAMES)
    assert has_head("question-answering", architectures=["AModel"], **asked), "whose names are those of its layers"


NEVER_LOOK_BACK_ONLY = {"xlm", "xlnet"}


@pytest.mark.parametrize("is_decoder", [False, True])
@pytest.mark.parametrize("model_type", sorted(READS_BOTH_WAYS))
def test_the_models_that_read_both_ways_do_so_unless_they_are_decoders(model_type, is_decoder):
    """What they say before a token depends on it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    own = {"d_head": 8} if model_type == "xlnet" else {"max_position_embeddings": 32}
    config = AutoConfig.for_model(
        model_type, vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        embedding_size=16, input_embedding_size=16, output_embedding_size=16, attention_type="original_full",
        emb_dim=16, n_layers=1, n_heads=2, d_inner=16, n_layer=1, n_head=2, shape_vocab_size=20, pronunciation_vocab_size=20,
        pad_token_id=1, is_decoder=is_decoder, **own,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).eval()
    if hasattr(model, "set_default_language"):
        model.set_default_language("en_XX")
    with torch.no_grad():
        first, second = model(input_ids=torch.tensor([[5, 6, 7], [5, 6, 8]]), use_cache=False).logits[:, 0]
    looks_back_only = torch.allclose(first, second, atol=1e-6)
    assert looks_back_only == (is_decoder and model_type not in NEVER_LOOK_BACK_ONLY)
    assert has_head("text-generation", model_type=model_type, architectures=(), is_decoder=is_decoder) == is_decoder
