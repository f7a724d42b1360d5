"""A tag for each word."""

from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from typing import Any, ClassVar

import numpy as np
from transformers import AutoModelForTokenClassification

from app.dataset.resolved import ResolvedData
from app.spec.base import ProblemType
from app.spec.words import Span, join_words, split_words
from worker.predictor.entities import bio_tags
from worker.trainer.entity_report import entity_report
from worker.trainer.splitting import random_split
from worker.trainer.tasks.single_label import SingleLabel
from worker.trainer.tasks.task import UnfitRowError


class TokenClassification(SingleLabel):
    """Labels are tag ids of all words, ``[words]`` int64; a logit for each tag, softmax and cross entropy.

    A word's first token stands for it, as in BERT (Devlin et al., 2019, section 5.3); other tokens have no label. A word
    that no token stands for is answered with O.
    """

    problem_type: ClassVar[ProblemType] = "token_classification"
    tags_words: ClassVar[bool] = True
    auto_model: ClassVar[Any] = AutoModelForTokenClassification

    def __init__(self, data: ResolvedData) -> None:
        super().__init__(data)
        self._spans = data.spans
        if data.spans:
            self.label_names = bio_tags(data.label_names)
            self._class_ids = {tag: number for number, tag in enumerate(self.label_names)}

    def read(self, text: Any, label: Any) -> tuple[str, list[Span], list[int]]:
        """From words and their tags, or from a text and the spans in it."""
        if self._spans:
            words = split_words(text)
            return text, words, [self._class_ids[tag] for tag in tags_of_spans(text, words, label)]
        if len(text) != len(label):
            raise UnfitRowError(f"has {len(text):,} words but {len(label):,} tags", code="uneven_tags")
        if not all(isinstance(word, str) for word in text):
            raise UnfitRowError("has a word that is not a text", code="text_not_string")
        joined, words = join_words(text)
        return joined, words, [self.read_label(tag) for tag in label]

    def stack(self, labels: Sequence[Any]) -> np.ndarray:
        return np.fromiter(chain.from_iterable(labels), dtype=np.int64)

    def set_aside(
        self,
        labels: np.ndarray,  # noqa: ARG002
        *,
        num_examples: int,
        fraction: float,
        seed: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        return random_split(num_examples, fraction=fraction, seed=seed)

    def for_metrics(self, answers: np.ndarray, *, offsets: np.ndarray) -> list[list[str]]:
        """The names of the tags, by example."""
        names = [self.label_names[tag] for tag in answers]
        return [names[start:end] for start, end in pairwise(offsets)]

    def report(self, logits: np.ndarray, labels: np.ndarray, *, offsets: np.ndarray, guess: int) -> dict[str, Any]:
        return entity_report(
            self.for_metrics(self.predict(logits), offsets=offsets),
            self.for_metrics(labels, offsets=offsets),
            majority=self.label_names[guess],
        )


def tags_of_spans(text: str, words: Sequence[Span], spans: Sequence[Mapping[str, Any]]) -> list[str]:
    """The tag of each word: B- or I- of the span that it shares a character with.

    Raises UnfitRowError for a span that is beyond the text, empty, on no word, or on a word of another.
    """
    tags = ["O"] * len(words)
    for span in sorted(spans, key=lambda span: (span["start"], span["end"])):
        start, end = span["start"], span["end"]
        if not 0 <= start < end <= len(text):
            problem = f"has a span from {start:,} to {end:,} in a text of {len(text):,} characters"
            raise UnfitRowError(problem, code="invalid_span")
        covered = [number for number, (first, behind) in enumerate(words) if first < end and behind > start]
        if not covered:
            raise UnfitRowError(f"has a span from {start:,} to {end:,}, which is on no word", code="invalid_span")
        if any(tags[number] != "O" for number in covered):
            problem = f"has a span from {start:,} to {end:,}, which is on a word of another span"
            raise UnfitRowError(problem, code="overlapping_spans")
        for number in covered:
            tags[number] = f"{'B' if number == covered[0] else 'I'}-{span['label']}"
    return tags
