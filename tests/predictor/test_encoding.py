"""A text is made the tokens that transformers makes of it, whoever makes them."""

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from worker.predictor.encoding import TextEncoder
from worker.predictor.engine import LoadedModel

TEXTS = ["the cat sat", "", "cat " * 60, "the [SEP] cat", "Ünknown, the dog's"]
PAIRS = [(text, None) for text in TEXTS] + [(text, other) for text in TEXTS for other in reversed(TEXTS)]


class Shouting(PreTrainedTokenizerFast):
    """Its own way of making tokens is all its tokens twice."""

    def _encode_plus(self, *args, **options):
        batch = super()._encode_plus(*args, **options)
        for name in batch:
            batch[name] = [[token for token in row for _ in range(2)] for row in batch[name]]
        return batch


@pytest.fixture
def spec(pair_model):
    return LoadedModel.load(pair_model.folder).spec


@pytest.fixture
def tokenizer(pair_model):
    return AutoTokenizer.from_pretrained(pair_model.folder)


def made_by_transformers(tokenizer, text, pair):
    batch = tokenizer([text], None if pair is None else [pair], truncation=True, max_length=32)
    return batch["input_ids"][0], batch["token_type_ids"][0] if "token_type_ids" in batch else None


def made_by_encoder(encoder):
    return [(found.input_ids, found.token_type_ids) for found in encoder.encode(PAIRS)]


@pytest.mark.parametrize("names", [["input_ids", "attention_mask"], ["input_ids", "token_type_ids", "attention_mask"]])
@pytest.mark.parametrize("splits", [False, True])
@pytest.mark.parametrize("side", ["right", "left"])
def test_tokens_are_those_of_transformers(spec, tokenizer, names, splits, side):
    tokenizer.model_input_names, tokenizer.split_special_tokens, tokenizer.truncation_side = names, splits, side
    encoder = TextEncoder(spec, tokenizer, takes_token_types=True)
    expected = [made_by_transformers(tokenizer, *pair) for pair in PAIRS]
    assert any(1 in (types or ()) for _, types in expected) == ("token_type_ids" in names)
    tokenizer(TEXTS, padding="max_length", max_length=7, truncation="only_first", split_special_tokens=not splits)
    assert made_by_encoder(encoder) == expected


def test_what_the_file_says_of_padding_and_length_is_left_out(spec, tokenizer):
    expected = [made_by_transformers(tokenizer, *pair) for pair in PAIRS]
    tokenizer.backend_tokenizer.enable_padding(length=128)
    tokenizer.backend_tokenizer.enable_truncation(max_length=5)
    assert made_by_encoder(TextEncoder(spec, tokenizer, takes_token_types=True)) == expected


def test_a_tokenizer_with_a_way_of_its_own_goes_that_way(spec, pair_model):
    tokenizer = Shouting.from_pretrained(pair_model.folder)
    encoder = TextEncoder(spec.model_copy(update={"max_length": 6}), tokenizer, takes_token_types=True)
    short, long = encoder.encode([("the cat", None), ("cat " * 9, None)])
    assert short.input_ids[::2] == short.input_ids[1::2] == tokenizer.backend_tokenizer.encode("the cat").ids[:4]
    assert (short.truncated, long.truncated) == (False, True)
