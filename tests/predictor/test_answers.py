"""Answers from logits, against a search that looks at every span of every window."""

from itertools import pairwise

import numpy as np
import pytest
from transformers import AutoTokenizer

from worker.predictor.answers import find_answers
from worker.predictor.engine import LoadedModel
from worker.predictor.errors import UnfitInputError
from worker.predictor.windows import cut_windows, encode_questions

OUTSIDE = (0, 0)


def every_answer(logits, windows, context, *, max_answer_len, may_be_none):
    """Text and score of all that can be said, best first, as slowly as it is defined."""
    found, doubts, position = {}, [], 0
    for spans in windows:
        start, end = (np.exp(column) / np.exp(column).sum() for column in logits[position : position + len(spans)].T)
        position += len(spans)
        doubts.append(start[0] * end[0])
        for first, (begin, behind) in enumerate(spans):
            for last in range(first, min(len(spans), first + max_answer_len)):
                if begin < behind and spans[last][0] < spans[last][1]:
                    place = (int(begin), int(spans[last][1]))
                    found[place] = max(found.get(place, 0), start[first] * end[last])
    if may_be_none:
        found[0, 0] = min(doubts)
    return [(context[a:b], a, b, score) for (a, b), score in sorted(found.items(), key=lambda item: -item[1])]


@pytest.mark.parametrize("may_be_none", [False, True])
@pytest.mark.parametrize("max_answer_len", [1, 3, 30])
def test_the_best_answers_are_those_of_a_search_through_all_of_them(may_be_none, max_answer_len):
    random = np.random.default_rng(max_answer_len + may_be_none)
    context = " ".join("abcdefghijkl")
    words = [(2 * number, 2 * number + 1) for number in range(12)]
    for _ in range(20):
        windows = [[OUTSIDE, OUTSIDE, *words[a:b], OUTSIDE] for a, b in ((0, 6), (3, 9), (6, 12))]
        logits = random.normal(scale=2, size=(sum(map(len, windows)), 2)).astype(np.float32)
        found = find_answers(
            logits, [np.array(spans, dtype=np.int32) for spans in windows], context, may_be_none=may_be_none,
            num_best=7, max_answer_len=max_answer_len,
        )  # fmt: skip
        expected = every_answer(
            logits.astype(float), windows, context, max_answer_len=max_answer_len, may_be_none=may_be_none
        )[:7]
        assert [(a.text, a.start, a.end) for a in found] == [item[:3] for item in expected]
        assert [a.score for a in found] == pytest.approx([item[3] for item in expected])


def test_a_window_that_finds_nothing_does_not_outdo_one_that_does():
    """The first is sure that it holds no answer; its best words are still worse than a fair guess of the second."""
    spans = np.array([OUTSIDE, (0, 2), (3, 5)], dtype=np.int32)
    nowhere, somewhere = [[9, 9], [4, 4], [0, 0]], [[0, 0], [0, 0], [2, 2]]
    logits = np.array([*nowhere, *somewhere], dtype=np.float32)
    late = np.array([OUTSIDE, (6, 8), (9, 11)], dtype=np.int32)
    (found,) = find_answers(logits, [spans, late], "ab cd ef gh", may_be_none=False)
    assert found.text == "gh"
    (found,) = find_answers(logits, [spans, late], "ab cd ef gh", may_be_none=True)
    assert found.text == "gh", "one window that finds it is enough"
    (found,) = find_answers(logits[:3], [spans], "ab cd ef gh", may_be_none=True)
    assert (found.text, found.start, found.end) == ("", 0, 0)
    assert found.score == pytest.approx((np.exp(9) / (np.exp(9) + np.exp(4) + 1)) ** 2)


def test_white_space_at_the_ends_of_tokens_is_no_part_of_an_answer():
    """As SentencePiece counts it to the word behind it."""
    spans = np.array([OUTSIDE, (0, 3), (3, 8), (8, 9)], dtype=np.int32)
    logits = np.array([[0, 0], [0, 0], [9, 9], [0, 0]], dtype=np.float32)
    (found,) = find_answers(logits, [spans], "the film ", may_be_none=False)
    assert (found.text, found.start, found.end) == ("film", 4, 8)


def test_a_context_without_a_token_holds_no_answer():
    (found,) = find_answers(
        np.zeros((2, 2), np.float32), [np.array([OUTSIDE] * 2, dtype=np.int32)], " ", may_be_none=False
    )
    assert (found.text, found.start, found.end) == ("", 0, 0)


@pytest.mark.parametrize(
    ("length", "room", "overlap"), [(0, 8, 2), (8, 8, 2), (9, 8, 2), (100, 8, 3), (50, 9, 100), (7, 1, 0)]
)
def test_windows_cover_the_context_and_overlap_as_much_as_was_asked(length, room, overlap):
    windows = cut_windows(length, room=room, overlap=overlap)
    assert windows[0][0] == 0
    assert windows[-1][1] == length
    assert all(end - start <= room for start, end in windows)
    assert all(behind - start == min(overlap, room // 2) for (_, behind), (start, _) in pairwise(windows))


@pytest.fixture(scope="module")
def reader(new_model):
    return new_model(
        "reader", problem_type="extractive_question_answering", text_fields=("question", "context"), max_length=16,
        doc_stride=4,
    )  # fmt: skip


def test_the_windows_of_a_batch_are_those_of_each_alone_and_of_the_tokenizer(reader):
    tokenizer = AutoTokenizer.from_pretrained(reader.folder)
    pairs = [
        ("the cat", "a dog ran " * 8),
        ("red", "blue"),
        ("sad dog", "the cat sat on the mat under a tree and ran "),
    ]
    options = {"max_length": 16, "doc_stride": 4}
    together = encode_questions(tokenizer, pairs, **options)
    for pair, item in zip(pairs, together, strict=True):
        (alone,) = encode_questions(tokenizer, [pair], **options)
        theirs = tokenizer(*pair, truncation="only_second", max_length=16, stride=4, return_overflowing_tokens=True)
        assert (
            [part.input_ids for part in item.parts] == [part.input_ids for part in alone.parts] == theirs["input_ids"]
        )
        types = theirs.get("token_type_ids")  # as the tokenizer of RoBERTa, this one says that the model takes none
        assert [part.token_type_ids for part in item.parts] == (types or [None] * len(item.parts))
        assert item.num_tokens == sum(map(len, theirs["input_ids"]))


def test_logits_of_a_context_in_windows_do_not_depend_on_what_is_asked_beside_it(reader):
    model = LoadedModel.load(reader.folder)
    pairs = [("the cat", "a dog ran " * 8), ("red", "blue"), ("sad dog", "the cat sat on the mat")]
    encoded = model.encode(pairs)
    together = np.split(model.forward(encoded), np.cumsum([item.num_rows for item in encoded])[:-1])
    for pair, rows in zip(pairs, together, strict=True):
        np.testing.assert_allclose(model.forward(model.encode([pair])), rows, atol=1e-5)


def test_a_question_that_leaves_no_room_is_named(reader):
    tokenizer = AutoTokenizer.from_pretrained(reader.folder)
    options = {"max_length": 16, "doc_stride": 4}
    pairs = [("red", "blue"), ("the cat sat on the mat", "a dog ran and ran and ran and ran")]
    with pytest.raises(UnfitInputError, match="has 6 tokens: of the 16 that the model reads it leaves 7") as refused:
        encode_questions(tokenizer, pairs, **options)
    assert refused.value.index == 1
    encode_questions(tokenizer, [(pairs[1][0], "a dog")], **options)
    with pytest.raises(UnfitInputError, match="read in 1,250 windows, more than 1,024"):
        encode_questions(tokenizer, [("red", "cat " * 10_004)], **options)
