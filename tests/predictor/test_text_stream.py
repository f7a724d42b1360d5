"""Text comes in whole characters, without a word of what stops it."""

import random
import re

import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from tests.decoder import tokenizer_of
from tests.predictor.tiny_writers import END, byte_tokenizer
from worker.predictor.text_stream import REPLACEMENT, TextStream

TEXT = "Grüße, 世界! 👩🏽‍🚀 naïve – e\u0301 done"


def bytes_in_pieces():
    """Like Llama's: words, and for all else the bytes one by one."""
    pieces = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁done", "▁na", "e", ",", "!"]
    backend = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, [], byte_fallback=True))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")


def pieces_of(text):
    """``text`` in tokens of that tokenizer."""
    tokenizer = bytes_in_pieces()
    vocabulary = tokenizer.get_vocab()
    tokens = []
    for word in text.split(" "):
        if f"▁{word}" in vocabulary:
            tokens.append(vocabulary[f"▁{word}"])
        else:
            tokens += [vocabulary["▁"], *(vocabulary[f"<0x{byte:02X}>"] for byte in word.encode())]
    return tokenizer, tokens


def bytes_of(text):
    tokenizer = byte_tokenizer()
    return tokenizer, tokenizer(text)["input_ids"]


def steps(tokenizer, tokens, *, stop=()):
    """What may be shown after each token, and at the end."""
    stream, shown = TextStream(tokenizer, stop=stop), []
    for token in tokens:
        stream.push(token)
        shown.append(stream.text[: stream.num_safe])
    stream.finish()
    return [*shown, stream.text]


@pytest.mark.parametrize("tokenized", [bytes_of, pieces_of])
def test_characters_of_several_tokens_come_whole(tokenized):
    tokenizer, tokens = tokenized(TEXT)
    assert len(tokens) > len(TEXT)
    shown = steps(tokenizer, tokens)
    assert shown[-1] == tokenizer.decode(tokens) == TEXT
    assert all(TEXT.startswith(text) for text in shown)
    assert len(set(shown)) > len(TEXT) - 4, "text comes as soon as it can"


@pytest.mark.parametrize("tokenized", [bytes_of, pieces_of])
def test_half_a_character_at_the_end_is_left_out(tokenized):
    tokenizer, tokens = tokenized("so 👍")
    for cut in (1, 2, 3):
        assert steps(tokenizer, tokens[:-cut])[-1] == "so "
        stream = TextStream(tokenizer, stop=())
        stream.push_all(tokens[:-cut])
        stream.finish()
        assert stream.text == "so "


def test_bytes_that_are_no_characters_do_not_hold_up_what_comes():
    tokenizer = byte_tokenizer()
    letters = {chr(number): tokenizer(chr(number))["input_ids"][0] for number in range(97, 123)}
    stray = tokenizer("é")["input_ids"][1]  # goes on with a character that never began
    shown = steps(tokenizer, [letters["a"], *[stray] * 9, letters["b"], *tokenizer("👍")["input_ids"], letters["c"]])
    assert shown[9].count(REPLACEMENT) >= 6
    assert shown[-1] == f"a{REPLACEMENT * 9}b👍c"


def characters(text):
    """How many signs stand for bytes that are no characters is not said: decoders differ in it."""
    return re.split(f"{REPLACEMENT}+", text.strip(REPLACEMENT))


def test_random_bytes_are_decoded_as_in_one_go():
    tokenizer, chooser = byte_tokenizer(), random.Random(0)
    for _ in range(100):
        tokens = [chooser.randrange(256) for _ in range(40)]
        whole = tokenizer.decode(tokens)
        assert characters(steps(tokenizer, tokens)[-1]) == characters(whole)


def test_special_tokens_are_no_part_of_the_text_and_spaces_behind_them_stay():
    tokenizer = byte_tokenizer()
    tokens = tokenizer("a b")["input_ids"]
    assert steps(tokenizer, [tokens[0], END + 2, *tokens[1:], END])[-1] == "a b"
    words = tokenizer_of()
    one, two, user = (words.convert_tokens_to_ids(word) for word in ("one", "two", "<user>"))
    assert steps(words, [user, one, user, user, two])[-1] == words.decode([one, two]) == "one two"
    llama, (space, done) = bytes_in_pieces(), pieces_of(" done")[1]
    assert steps(llama, [done, 1, done])[-1] == "done done"
    assert space != done


def test_nothing_of_a_stop_text_is_shown_wherever_tokens_divide_it():
    tokenizer, tokens = bytes_of("well, STOPP. STOP here")
    shown = steps(tokenizer, tokens, stop=["STOP here", "never"])
    assert shown[-1] == "well, STOPP. "
    assert all("well, STOPP. ".startswith(text) for text in shown)
    assert "well, STOPP." in shown, "what only began like a stop text is shown once it is none"


@pytest.mark.parametrize(
    ("stop", "kept"),
    [(["b c"], "a "), (["c", "b c"], "a "), (["a"], ""), (["é", "x"], "a b c d "), (["aa"], "a b c d é f")],
)
def test_the_text_ends_before_the_first_stop_text(stop, kept):
    tokenizer, tokens = bytes_of("a b c d é f")
    assert steps(tokenizer, tokens, stop=stop)[-1] == kept


def test_all_at_once_is_what_comes_one_by_one():
    tokenizer, tokens = bytes_of(TEXT)
    for length in range(len(tokens)):
        stream = TextStream(tokenizer, stop=())
        stream.push_all(tokens[:length])
        stream.finish()
        assert stream.text == steps(tokenizer, tokens[:length])[-1]


@pytest.mark.parametrize("at_once", [False, True])
def test_a_text_behind_another_keeps_the_space_between_them(at_once):
    tokenizer, tokens = pieces_of("so 👍 is it")
    whole = tokenizer.decode(tokens)
    for end in range(1, len(tokens)):
        prompt = tokenizer.decode(tokens[:end])
        if "\N{REPLACEMENT CHARACTER}" in prompt:
            continue
        stream = TextStream(tokenizer, stop=(), behind=tokens[:end])
        if at_once:
            stream.push_all(tokens[end:])
        else:
            for token in tokens[end:]:
                stream.push(token)
        stream.finish()
        assert prompt + stream.text == whole
