"""Texts written in common are those that transformers writes of each alone."""

import random

import pytest
import torch

from app.prediction.wire import Sampling
from tests.predictor.tiny_writers import ARCHITECTURES, STATEFUL, VOCABULARY_SIZE, build_writer, byte_tokenizer
from worker.predictor.encoded import EncodedText
from worker.predictor.errors import PromptTooLongError
from worker.predictor.generating import RunningBatch
from worker.predictor.generation import TextGenerator
from worker.predictor.one_by_one import OneByOne

CPU = torch.device("cpu")
MARGIN = 1e-3
"""Between the two largest logits: below it rounding may decide, which differs with the shape of a product."""
AMPLE = 2**40


def generator_of(architecture="llama", **options):
    return TextGenerator(build_writer(architecture, **options), byte_tokenizer(), device=CPU)


def prompts(lengths, *, seed=0):
    chooser = random.Random(seed)
    return [[chooser.randrange(256) for _ in range(length)] for length in lengths]


def begin(generator, *texts, streams=True, **sampling):
    encoded = [EncodedText(input_ids=text, token_type_ids=None, truncated=False) for text in texts]
    return generator.begin(encoded, Sampling(**sampling), streams=streams)


def written(writing):
    return writing.read[writing.num_prompt :]


def by_transformers(model, prompt, *, seed=None, **options):
    """What ``generate`` writes behind one prompt alone, up to where its choice hangs by a hair."""
    if seed is not None:
        torch.manual_seed(seed)
    options = {"do_sample": False, "max_new_tokens": 20, **options}
    found = model.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.int64), output_scores=True,
        return_dict_in_generate=True, **options,
    )  # fmt: skip
    tokens = found.sequences[0, len(prompt) :].tolist()
    best = [scores[0].topk(2).values.tolist() for scores in found.scores]
    unsure = [place for place, (first, second) in enumerate(best) if first - second < MARGIN]
    return tokens if options["do_sample"] or not unsure else tokens[: unsure[0]]


def run(batch, *, max_bytes=AMPLE, turns=10_000):
    for _ in range(turns):
        batch.turn(max_bytes=max_bytes)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *STATEFUL])
def test_texts_that_join_at_different_times_are_those_of_transformers(architecture):
    generator = generator_of(architecture)
    batch = generator.new_batch()
    assert isinstance(batch, OneByOne if architecture in STATEFUL else RunningBatch)
    texts = prompts([3, 17, 1, 9, 30, 2])
    writings = []
    for text in texts:  # one that is longer than all before, and shorter ones, while those are being written
        writings += begin(generator, text, max_new_tokens=20)
        batch.add(writings[-1:])
        run(batch, turns=5)
    run(batch, turns=200)
    expected = [by_transformers(generator._forward.model, text) for text in texts]
    assert sum(map(len, expected)) > 80, "choices must not hang by a hair everywhere, or this test shows little"
    assert [written(writing)[: len(tokens)] for writing, tokens in zip(writings, expected, strict=True)] == expected
    assert len({tuple(tokens) for tokens in expected}) > 3


def test_a_long_prompt_is_read_in_parts_while_others_are_written():
    generator = generator_of("mistral")
    batch = generator.new_batch(max_tokens=8)
    short, long = prompts([3, 50])
    first, second = begin(generator, short, long, max_new_tokens=30)
    batch.add([first])
    run(batch, turns=2)
    batch.add([second])
    run(batch, turns=13)  # seven parts, and between two of them a token of the other
    assert second.num_tokens == 1
    assert first.num_tokens == 2 + 6
    run(batch, turns=60)
    for writing, text in ((first, short), (second, long)):
        expected = by_transformers(generator._forward.model, text, max_new_tokens=30)
        assert written(writing)[: len(expected)] == expected


def test_a_text_called_off_costs_nothing_from_the_next_turn_on_and_the_others_go_on_as_they_were():
    generator = generator_of(ends=False)
    batch = generator.new_batch()
    texts = prompts([20, 4, 6])
    writings = begin(generator, *texts, max_new_tokens=25)
    batch.add(writings)
    run(batch, turns=6)
    reserved = batch.reserved_bytes
    writings[0].is_called_off = True
    run(batch, turns=1)
    assert batch.reserved_bytes < reserved
    assert batch._cache.layers[0].keys.shape[0] == 2
    assert batch._cache.num_columns == 6 + 6, "the columns of the longest text went with it"
    run(batch, turns=30)
    assert writings[0].num_tokens == 6
    for writing, text in zip(writings[1:], texts[1:], strict=True):
        expected = by_transformers(generator._forward.model, text, max_new_tokens=25)
        assert written(writing)[: len(expected)] == expected


def test_texts_that_do_not_fit_wait_in_their_order():
    generator = generator_of(ends=False)
    batch = generator.new_batch()
    writings = begin(generator, *prompts([10] * 5), max_new_tokens=10)
    batch.add(writings)
    two = 2 * 20 * generator._bytes_per_token
    ends = []
    while len(ends) < 5:
        batch.turn(max_bytes=two)
        assert batch.reserved_bytes <= two
        assert sum(0 < writing.num_tokens < 10 for writing in writings) <= 2
        ends += [place for place, writing in enumerate(writings) if writing.is_over and place not in ends]
    assert ends == [0, 1, 2, 3, 4]
    (alone,) = begin(generator, [1, 2, 3], max_new_tokens=3)
    batch.add([alone])
    run(batch, max_bytes=0, turns=3)
    assert alone.finish_reason == "length", "one text always fits"


def test_prompts_are_read_together_up_to_the_budget_of_tokens():
    generator = generator_of(ends=False)
    batch = generator.new_batch(max_tokens=32)
    writings = begin(generator, *prompts([10, 8, 10, 4, 4]), max_new_tokens=1)
    batch.add(writings)
    done = []
    for _ in range(3):
        batch.turn(max_bytes=AMPLE)
        done.append(sum(writing.is_over for writing in writings))
    assert done == [3, 5, 5]


SETTINGS = [
    {"do_sample": True, "seed": 7},
    {"do_sample": True, "seed": 7, "temperature": 0.7, "top_k": 5},
    {"do_sample": True, "seed": 8, "temperature": 2.5, "top_p": 0.8, "top_k": 300},
    {"do_sample": True, "seed": 8, "repetition_penalty": 1.3},
    {"repetition_penalty": 1.5},
]


def test_settings_and_seeds_give_the_texts_of_transformers_whatever_else_is_written():
    generator = generator_of("qwen3")
    text = [10, 20, 30]
    batch = generator.new_batch()
    company = begin(generator, *prompts([4, 40, 9], seed=3), do_sample=True, max_new_tokens=60)
    batch.add(company)
    run(batch, turns=3)
    asked = [begin(generator, text, max_new_tokens=20, **settings)[0] for settings in SETTINGS]
    batch.add(asked)
    run(batch, turns=80)
    for settings, writing in zip(SETTINGS, asked, strict=True):
        theirs = {"top_k": 50, **settings} if "do_sample" in settings else settings
        expected = by_transformers(generator._forward.model, text, **theirs)
        assert written(writing)[: len(expected)] == expected, settings
        assert len(expected) > 10
        (alone,) = begin(generator, text, max_new_tokens=20, **settings)
        generator.write([alone], stopped=bool)
        assert written(alone) == written(writing)
    assert len({tuple(written(writing)) for writing in asked}) == len(SETTINGS)


def test_without_a_seed_texts_differ():
    generator = generator_of(ends=False)
    texts = begin(generator, [1], [1], [1], do_sample=True, max_new_tokens=30)
    generator.write(texts, stopped=bool)
    assert len({tuple(written(text)) for text in texts}) == 3


def test_tokens_come_with_their_probabilities():
    generator = generator_of("gpt2")
    (writing,) = begin(generator, [5, 6, 7], max_new_tokens=8)
    generator.write([writing], stopped=bool)
    tokens = writing.piece()
    assert [token.id for token in tokens] == written(writing)
    with torch.no_grad():
        logprobs = generator._forward.model(torch.tensor([writing.read])).logits[0].log_softmax(-1)
    expected = [float(logprobs[2 + place, token.id]) for place, token in enumerate(tokens)]
    assert [token.logprob for token in tokens] == pytest.approx(expected, abs=1e-4)
    assert "".join(token.text for token in tokens) == writing.result().text


def test_a_text_ends_at_the_context_limit_of_its_own():
    generator = generator_of(ends=False, max_position_embeddings=32)
    writings = begin(generator, *prompts([5, 31]), max_new_tokens=100)
    generator.write(writings, stopped=bool)
    assert [writing.num_tokens for writing in writings] == [27, 1]
    with pytest.raises(PromptTooLongError, match="has 32 tokens"):
        begin(generator, *prompts([3, 32]))


def test_a_prompt_that_breaks_the_forward_harms_no_other():
    generator = generator_of(ends=False)
    batch = generator.new_batch()
    good, broken, other = begin(generator, [1, 2], [VOCABULARY_SIZE + 5], [3, 4, 5], max_new_tokens=4)
    batch.add([good, broken, other])
    run(batch, turns=12)
    assert isinstance(broken.error, IndexError)
    assert (good.finish_reason, other.finish_reason) == ("length", "length")


def test_outputs_that_are_no_numbers_are_an_error_and_no_text():
    generator = generator_of(ends=False)
    with torch.no_grad():
        generator._forward.model.model.embed_tokens.weight[77] = float("nan")
    batch = generator.new_batch()
    fine, sick = begin(generator, [1, 2], [1, 77], max_new_tokens=4)
    batch.add([fine, sick])
    run(batch, turns=6)
    assert "not finite" in str(sick.error)
    assert fine.finish_reason == "length"


def test_a_forward_that_fails_ends_what_was_begun_and_nothing_else():
    generator = generator_of(ends=False)
    batch = generator.new_batch()
    begun = begin(generator, [1, 2], [3], max_new_tokens=9)
    batch.add(begun)
    run(batch, turns=3)

    def fail(*_):
        raise RuntimeError("out of memory")

    failing = generator._forward.model.register_forward_pre_hook(fail)
    run(batch, turns=1)
    failing.remove()
    assert [str(writing.error) for writing in begun] == ["out of memory"] * 2
    (later,) = begin(generator, [1, 2], max_new_tokens=9)
    batch.add([later])
    run(batch, turns=10)
    assert later.finish_reason == "length"
