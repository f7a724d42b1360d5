"""Words of a text, the tokens that stand for them, and the entities that their tags make."""

import random

import numpy as np
import pytest
from seqeval.metrics.sequence_labeling import get_entities

from app.spec.words import first_tokens, join_words, split_words
from worker.predictor.entities import bio_tags, find_entities, served_entities


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ada lives in Rome.", ["Ada", "lives", "in", "Rome", "."]),
        ('  ("Rome",  she said)\n', ['("', "Rome", '",', "she", "said", ")"]),
        ("it's 3.5% off-white ...", ["it's", "3.5%", "off", "-", "white", "..."]),
        (
            "the Paris-Rome train, „Ada“ – ¿Qué?",
            ["the", "Paris", "-", "Rome", "train", ",", "„", "Ada", "“", "–", "¿", "Qué", "?"],
        ),
        ("李明住在Rome。", ["李", "明", "住", "在", "Rome", "。"]),
        ("@ada #rome http://x.org/a?b=1", ["@ada", "#rome", "http://x.org", "/", "a?b=1"]),
        ("東京 ist\u00a0groß!", ["東", "京", "ist", "groß", "!"]),
        ("", []),
        (" \t ", []),
    ],
)
def test_words_are_what_white_space_and_marks_separate(text, words):
    assert [text[start:end] for start, end in split_words(text)] == words


def test_joined_words_are_where_it_says():
    words = ["It", "'s", "", "a b", "."]
    text, spans = join_words(words)
    assert [text[start:end] for start, end in spans] == words


def test_the_first_token_of_each_word_stands_for_it():
    #        [CLS]  Ro      me      lives    .          [SEP]
    offsets = [(0, 0), (0, 2), (2, 4), (5, 10), (10, 11), (0, 0)]
    assert first_tokens(offsets, [(0, 4), (5, 10), (10, 11)]) == [1, 3, 4]
    assert first_tokens(offsets[:3], [(0, 4), (5, 10), (10, 11)]) == [1, -1, -1]
    assert first_tokens([(0, 0), (0, 3), (3, 8)], [(0, 3), (4, 8)]) == [1, 2]  # a token that has the space before it
    assert first_tokens(offsets, [(4, 5), (5, 10)]) == [-1, 3]  # a word that the tokenizer drops


def test_entities_are_those_of_seqeval():
    chooser = random.Random(0)
    tags = ["O", *(f"{letter}-{kind}" for letter in "BIES" for kind in ("x", "y-z"))]
    for _ in range(2000):
        row = chooser.choices(tags, k=chooser.randint(0, 8))
        assert find_entities(row) == [(kind, first, last + 1) for kind, first, last in get_entities(row)]


def test_tags_without_letters_are_entities_of_one_word():
    assert find_entities(["NOUN", "NOUN", "O", "VERB"]) == [("NOUN", 0, 1), ("NOUN", 1, 2), ("VERB", 3, 4)]
    assert find_entities(["B", "I", "O", "B", "B"]) == [("entity", 0, 2), ("entity", 3, 4), ("entity", 4, 5)]
    assert find_entities(["L-x", "U-x", "I-x"]) == find_entities(["E-x", "S-x", "I-x"])


def test_an_entity_has_its_characters_and_the_mean_of_its_words_scores():
    text = "go to New York now"
    scores = np.array([[0.9, 0.05, 0.05], [0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.2, 0.3, 0.5], [0.6, 0.2, 0.2]])
    options = {"text": text, "words": split_words(text), "labels": bio_tags(["place"])}
    (found,) = served_entities(scores, **options)
    assert (found.kind, found.text, found.start, found.end) == ("place", "New York", 6, 14)
    assert found.score == pytest.approx(0.6)
    assert served_entities(scores, **options, threshold=0.61) == []


def test_words_that_the_model_does_not_see_are_in_no_entity():
    scores = np.array([[0.9, 0.1], [np.nan, np.nan], [0.2, 0.8]])
    found = served_entities(scores, text="a b c", words=split_words("a b c"), labels=["NOUN", "VERB"])
    assert [(entity.kind, entity.text) for entity in found] == [("NOUN", "a"), ("VERB", "c")]


def test_a_long_word_of_marks_takes_no_longer_than_its_characters():
    """A table of contents has dots in plenty; a pattern that backtracks took hours for this one."""
    assert len(split_words("Index" + "." * 1_000_000 + "12")) == 1
    assert len(split_words("a-" * 100_000)) == 199_999
