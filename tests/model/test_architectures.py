from app.model.architectures import (
    ENCODER_DECODERS,
    NOT_TEXT_ALONE,
    NOT_TEXT_TO_TEXT,
    TEXT_CLASSIFIERS,
    TEXT_TO_TEXT,
)
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
