"""A tag for each word."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from typing import Any, ClassVar, Final

import numpy as np
from transformers import AutoModelForTokenClassification

from app.dataset.resolved import ResolvedData
from app.errors import InvalidData
from app.spec.base import ProblemType
from app.spec.mistakes import EntityPlace, Mistake
from app.spec.tags import parse_tag
from app.spec.training import TrainingSpec
from app.spec.words import Span, join_words, split_words
from worker.predictor.entities import bio_tags, find_entities
from worker.trainer.entity_report import entity_report
from worker.trainer.examples import Examples
from worker.trainer.mistakes import Mistakes, cut, shown, worst
from worker.trainer.splitting import random_split
from worker.trainer.tasks.single_label import SingleLabel
from worker.trainer.tasks.task import Comparison, UnfitRowError

NOT_SEEN: Final = -1
"""The answer for a word that no token stands for."""
UNSEEN_TAG: Final = "O"
MAX_ENTITIES: Final = 20
"""Of one text, that were missed, and as many that are wrong."""


class TokenClassification(SingleLabel):
    """Labels are tag ids of all words, ``[words]`` int64; a logit for each tag, softmax and cross entropy.

    A word's first token stands for it, as in BERT (Devlin et al., 2019, section 5.3); other tokens have no label. Logits are NaN
    for a word that no token stands for: it has no loss, and its answer, ``NOT_SEEN``, is never right.
    """

    problem_type: ClassVar[ProblemType] = "token_classification"
    tags_words: ClassVar[bool] = True
    auto_model: ClassVar[Any] = AutoModelForTokenClassification
    hint: ClassVar[str | None] = (
        "Spans are counted in characters from 0, the end not counted; each word is in one span at most."
    )

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

    def set_aside(self, examples: Examples, *, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        num_examples, offsets = len(examples), examples.label_offsets
        rows = np.repeat(np.arange(num_examples), np.diff(offsets))
        shown = np.zeros((num_examples, self.num_outputs), dtype=np.uint8)
        shown[rows, examples.labels] = 1
        with_words = np.flatnonzero(np.diff(offsets))
        if len(with_words) < 2:
            raise InvalidData(
                "there are too few rows with words to set some aside for validation",
                param="dataset.validation",
                code="too_few_examples",
            )
        _, places = random_split(len(with_words), fraction=fraction, seed=seed, needed=shown[with_words])
        validation = with_words[places]
        return np.setdiff1d(np.arange(num_examples), validation), validation

    def weigh_classes(self, args: TrainingSpec, labels: np.ndarray) -> None:
        """A kind of entity stands for all of its tags."""
        given = args.class_weights
        if isinstance(given, dict):
            kinds = {tag: parse_tag(tag)[1] for tag in self.label_names}
            by_tag = {tag: given[name] for tag, kind in kinds.items() for name in (kind, tag) if name in given}
            args = args.model_copy(update={"class_weights": by_tag})
        super().weigh_classes(args, labels)

    def mean_loss(self, logits: np.ndarray, labels: np.ndarray) -> float:
        seen = ~np.isnan(logits[:, 0])
        return super().mean_loss(logits[seen], labels[seen])

    def predict(self, logits: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(logits[:, 0]), NOT_SEEN, super().predict(np.nan_to_num(logits)))

    def compare(self, served: np.ndarray, trained: np.ndarray, *, precision: str) -> Comparison:
        found = super().compare(np.nan_to_num(served), np.nan_to_num(trained), precision=precision)
        unseen = np.isnan(trained)
        return Comparison(differing=found.differing, explained=np.where(unseen, trained, found.explained))

    def for_metrics(self, answers: np.ndarray, *, offsets: np.ndarray) -> list[list[str]]:
        """The names of the tags, by example."""
        names = [UNSEEN_TAG if tag == NOT_SEEN else self.label_names[tag] for tag in answers]
        return [names[start:end] for start, end in pairwise(offsets)]

    def mistakes(self, logits: np.ndarray, examples: Examples) -> Mistakes:
        """Texts in which an entity was missed, or found where there is none: those with most of either first."""
        scores, offsets = self.scores(logits), examples.label_offsets
        given, true = (self.for_metrics(tags, offsets=offsets) for tags in (self.predict(logits), examples.labels))
        found: dict[int, tuple[list[EntityPlace], list[EntityPlace]]] = {}
        for number, (answered, right) in enumerate(zip(given, true, strict=True)):
            if answered != right:
                of_words = scores[offsets[number] : offsets[number + 1]]
                entities, expected = set(find_entities(answered)), set(find_entities(right))
                missed = _places(sorted(expected - entities, key=_by_place), examples, number)
                wrong = _places(sorted(entities - expected, key=_by_place), examples, number, scores=of_words)
                if missed or wrong:
                    found[number] = missed, wrong
        numbers = list(found)
        kinds = [tuple({place.entity_group for side in sides for place in side}) for sides in found.values()]
        severity = np.array([len(missed) + len(wrong) for missed, wrong in found.values()])
        kept = []
        for number in [numbers[place] for place in worst(severity, kinds)]:
            missed, wrong = found[number]
            kept.append(
                Mistake(
                    **shown(examples, number),
                    label=missed[:MAX_ENTITIES],
                    predicted=wrong[:MAX_ENTITIES],
                    missed=sorted({place.entity_group for place in missed}),
                    wrong=sorted({place.entity_group for place in wrong}),
                    score=max((place.score or 0.0 for place in wrong), default=None),
                )
            )
        return Mistakes(num_wrong=len(found), kept=kept)

    def report(self, logits: np.ndarray, labels: np.ndarray, *, offsets: np.ndarray, guess: int) -> dict[str, Any]:
        return entity_report(
            self.for_metrics(self.predict(logits), offsets=offsets),
            self.for_metrics(labels, offsets=offsets),
            majority=self.label_names[guess],
        )


def _by_place(entity: tuple[str, int, int]) -> tuple[int, int]:
    return entity[1:]


def _places(
    entities: Sequence[tuple[str, int, int]], examples: Examples, number: int, *, scores: np.ndarray | None = None
) -> list[EntityPlace]:
    """Entities of words as places in the text; ``scores`` are those of the words' tags."""
    assert examples.words is not None
    text, words = examples.texts[number], examples.words[number]
    best = None if scores is None else np.nan_to_num(scores).max(axis=1)
    return [
        EntityPlace(
            entity_group=kind,
            word=cut(text[words[first][0] : words[behind - 1][1]]),
            start=words[first][0],
            end=words[behind - 1][1],
            score=None if best is None else float(best[first:behind].mean()),
        )
        for kind, first, behind in entities
    ]


def tags_of_spans(text: str, words: Sequence[Span], spans: Sequence[Mapping[str, Any]]) -> list[str]:
    """The tag of each word: B- or I- of the span that it shares a character with.

    Raises UnfitRowError for a span that is beyond the text, empty, on no word, or on a word of another.
    """
    tags = ["O"] * len(words)
    ends = [end for _, end in words]
    for start, end, kind in sorted({(span["start"], span["end"], span["label"]) for span in spans}):
        where = f"has a span from {start:,} to {end:,}"
        if not 0 <= start < end <= len(text):
            raise UnfitRowError(f"{where} in a text of {len(text):,} characters", code="invalid_span")
        first = bisect_right(ends, start)
        behind = bisect_left(words, (end, 0))
        if first >= behind:
            raise UnfitRowError(f"{where}, which is on no word", code="invalid_span")
        if any(tag != "O" for tag in tags[first:behind]):
            word = text[slice(*words[first])]
            raise UnfitRowError(f"{where}, which is on a word of another span ({word!r})", code="overlapping_spans")
        tags[first:behind] = [f"B-{kind}", *[f"I-{kind}"] * (behind - first - 1)]
    return tags
