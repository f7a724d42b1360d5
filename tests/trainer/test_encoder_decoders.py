"""What goes into encoder-decoders and what comes out, against transformers' own loss for the same batch."""

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    BartConfig,
    M2M100Config,
    MarianConfig,
    MBartConfig,
    MT5Config,
    PegasusConfig,
    T5Config,
)
from transformers.trainer_pt_utils import LabelSmoother

from app.dataset.resolved import ResolvedData
from app.spec.training import TrainingSpec
from tests.encoder_decoder import SIZE, WORDS, tokenizer_of
from worker.predictor.encoded import EncodedText
from worker.predictor.encoder_decoder import NO_TARGET, decoder_inputs, measure_answers, padded
from worker.trainer.answer_tokens import with_answers
from worker.trainer.forward import choose_forward
from worker.trainer.layers import depths, stacks_of_layers
from worker.trainer.padding import Padding
from worker.trainer.tasks import task_of
from worker.trainer.tokens import tokenize

SMALL = {"vocab_size": SIZE, "d_model": 16, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 1}
BART = SMALL | {
    "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 64, "bos_token_id": 3,
}  # fmt: skip
T5 = SMALL | {"d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
MODELS = {
    "t5": (T5Config, T5),
    "mt5": (MT5Config, T5),
    "bart": (BartConfig, BART),
    "mbart": (MBartConfig, BART),
    "pegasus": (PegasusConfig, BART),
    "marian": (MarianConfig, BART | {"bad_words_ids": None}),
    "m2m100": (M2M100Config, BART),
}
ANSWERS = ["red", "one two three four five", "", "green blue . one"]
SOURCES = [" ".join(WORDS[: number + 1]) for number in (0, 3, 11, 2)]


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    config, settings = MODELS[request.param]
    return AutoModelForSeq2SeqLM.from_config(config(**settings)).eval()


@pytest.fixture
def tokens(tmp_path):
    tokenizer = tokenizer_of()
    sources = tokenize(tokenizer, SOURCES, None, max_length=64, cache_dir=tmp_path)
    return with_answers(sources, tokenizer, ANSWERS, max_length=64)


def task():
    return task_of(ResolvedData(
        task="text2text-generation", problem_type="sequence_to_sequence", text="a", text_pair=None, label="b",
        label_names=[], label_values=[], has_test=False,
    ))  # fmt: skip


def their_batch(tokens, indices):
    """Padded as transformers' ``DataCollatorForSeq2Seq`` pads."""
    ids = [tokens.columns["input_ids"][tokens.offsets[i] : tokens.offsets[i + 1]] for i in indices]
    labels = [tokens.labels[tokens.words.offsets[i] : tokens.words.offsets[i + 1]] for i in indices]
    return {
        "input_ids": padded(ids, filler=0),
        "attention_mask": padded([np.ones(len(row)) for row in ids], filler=0),
        "labels": padded(labels, filler=NO_TARGET),
    }


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_training_loss_is_the_models_own(model, tokens, smoothing):
    indices = np.array([2, 0, 3, 1])
    forward, how = choose_forward(model, tokens, padding=Padding.of(tokenizer_of()), bf16=False)
    assert "encoder-decoders are not packed" in how
    logits = forward(model, forward.collate(tokens, indices), device=torch.device("cpu"))
    labels = torch.from_numpy(tokens.labels[tokens.words.seen(indices).numbers])
    total = task().training_loss(logits, labels, args=TrainingSpec(label_smoothing_factor=smoothing))
    batch = their_batch(tokens, indices)
    theirs = model(**batch)
    expected = theirs.loss if not smoothing else LabelSmoother(epsilon=smoothing)(theirs, batch["labels"])
    assert total.item() / len(labels) == pytest.approx(expected.item(), rel=1e-5)
    total.backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if ".layers.0." in name or "block.0" in name)


def test_what_is_measured_in_serving_is_the_same(model, tokens):
    encoded = task().encode(None, None, tokens)
    measured = np.concatenate(measure_answers(model, encoded, pad_id=0, device=torch.device("cpu")))
    with torch.no_grad():
        theirs = model(**their_batch(tokens, range(4)))
    assert measured[:, 0].mean() == pytest.approx(float(theirs.loss), rel=1e-5)
    labels = their_batch(tokens, range(4))["labels"]
    right = (theirs.logits.argmax(-1) == labels)[labels != NO_TARGET]
    assert measured[:, 1].tolist() == right.float().tolist()
    alone = np.concatenate(
        [measure_answers(model, [item], pad_id=0, device=torch.device("cpu"))[0] for item in encoded]
    )
    np.testing.assert_allclose(alone[:, 0], measured[:, 0], atol=1e-5)


def test_the_decoder_begins_as_the_model_does(model):
    labels = torch.tensor([[7, 8, 9, 1], [5, 1, NO_TARGET, NO_TARGET]])
    inputs = decoder_inputs(model, labels)
    start = {"t5": 0, "mt5": 0}.get(model.config.model_type, 1)
    assert inputs[:, 0].tolist() == [start, start]
    assert inputs[:, 1:].tolist() == [[7, 8, 9], [5, 1, 0]]


def test_both_halves_have_layers_and_the_decoder_is_above_the_encoder(model):
    (encoder, layers), (decoder, _) = stacks_of_layers(model)
    assert ("encoder" in encoder, "decoder" in decoder, len(layers)) == (True, True, 2)
    found = depths(model)
    assert {depth for name, depth in found.items() if name.startswith(f"{encoder}.1.")} == {2}
    assert {depth for name, depth in found.items() if name.startswith(f"{decoder}.")} == {3}
    assert {depth for name, depth in found.items() if "shared" in name or "embed_tokens" in name} == {0}


def test_answers_end_with_the_end_token_and_long_ones_are_cut(tmp_path):
    for marks_end in (True, False):
        tokenizer = tokenizer_of(marks_end=marks_end)
        sources = tokenize(tokenizer, SOURCES, None, max_length=64, cache_dir=tmp_path)
        found = with_answers(sources, tokenizer, ANSWERS, max_length=4)
        assert np.diff(found.words.offsets).tolist() == [2, 4, 1, 4]
        assert found.cut_answers.tolist() == [0, 1, 0, 1]
        ends = found.labels[found.words.offsets[1:] - 1]
        assert ends.tolist() == [tokenizer.eos_token_id] * 4
        assert found.words.first_tokens.tolist() == [0, 1, 0, 1, 2, 3, 0, 0, 1, 2, 3]


def test_a_target_of_another_language_is_written_by_its_own_rules(tmp_path):
    """As mBART's tokenizers do: another end behind targets than behind sources."""
    tokenizer = tokenizer_of()

    class OfTwoLanguages(type(tokenizer)):
        def _switch_to_target_mode(self):
            self._tokenizer.post_processor = type(self._tokenizer.post_processor)(
                single="$A </s> <s>", pair="$A $B </s> <s>", special_tokens=[("</s>", 1), ("<s>", 3)]
            )

        def _switch_to_input_mode(self):
            self._tokenizer.post_processor = tokenizer_of()._tokenizer.post_processor

    tokenizer.__class__ = OfTwoLanguages
    sources = tokenize(tokenizer, ["one"], None, max_length=64, cache_dir=tmp_path)
    found = with_answers(sources, tokenizer, ["red"], max_length=64)
    assert sources.columns["input_ids"].tolist() == [4, 1]
    assert found.labels.tolist() == [14, 1, 3]


def test_an_input_is_encoded_with_its_answer(tokens):
    first = task().encode(None, None, tokens)[1]
    assert isinstance(first, EncodedText)
    assert (first.num_rows, first.targets[-1], first.num_tokens) == (6, 1, 5)
