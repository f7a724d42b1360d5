import pytest

from app.model.architectures import (
    ENCODER_DECODERS,
    NOT_TEXT_ALONE,
    NOT_TEXT_TO_TEXT,
    TEXT_CLASSIFIERS,
    TEXT_TO_TEXT,
)
from app.spec.heads import OTHER_NAMES, WITHOUT_HEAD, has_head
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
    assert has_head("question-answering", model_type=model_type, architectures=architectures) == fits
    assert fits == (model_type not in OTHER_NAMES)
    assert has_head("question-answering", model_type=model_type, architectures=["AModel"]), (
        "whose names are those of its layers"
    )
