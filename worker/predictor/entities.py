"""From tags of words to entities: B-, I-, E-, S- (or L-, U-) and a kind, or tags without such letters."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.prediction.wire import Entity
from app.spec.tags import OUTSIDE, parse_tag
from app.spec.words import Span


def find_entities(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """``(kind, first, behind the last)`` of each entity, by the rules of conlleval, which seqeval has too.

    They are lenient: an I- that follows nothing of its kind begins an entity.
    """
    found = []
    first, before, kind_before = 0, OUTSIDE, ""
    for place, tag in enumerate([*tags, OUTSIDE]):
        letter, kind = parse_tag(tag)
        changes = kind != kind_before
        if before != OUTSIDE and (before in "ES" or letter in "BSO" or changes):
            found.append((kind_before, first, place))
        if letter != OUTSIDE and (letter in "BS" or before in "ESO" or changes):
            first = place
        before, kind_before = letter, kind
    return found


def served_entities(
    scores: NDArray[np.float64],
    *,
    text: str,
    words: Sequence[Span],
    labels: Sequence[str],
    threshold: float | None = None,
) -> list[Entity]:
    """The entities of one text in its order, from the scores of its words' tags, ``[words, K]``; NaN: the word is not seen.

    The score of an entity is the mean of those that its words' tags have. Words that are not seen are in none.
    """
    seen = ~np.isnan(scores[:, 0])
    best = np.where(seen, np.nan_to_num(scores).argmax(axis=1), 0)
    tags = [labels[tag] if is_seen else OUTSIDE for tag, is_seen in zip(best, seen, strict=True)]
    found = []
    for kind, first, behind in find_entities(tags):
        score = float(scores[np.arange(first, behind), best[first:behind]].mean())
        start, end = words[first][0], words[behind - 1][1]
        if threshold is None or score >= threshold:
            found.append(Entity(kind=kind, score=score, text=text[start:end], start=start, end=end))
    return found


def bio_tags(kinds: Sequence[str]) -> list[str]:
    """The tags for entities of these kinds."""
    return [OUTSIDE, *(f"{letter}-{kind}" for kind in kinds for letter in "BI")]
