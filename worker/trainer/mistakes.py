"""Which wrong answers are worth showing, and how much of their texts."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from app.spec.mistakes import MAX_TEXT_CHARS, Mistake
from worker.trainer.examples import Examples

NUM_WORST: Final = 100
"""The worst of all, whatever is wrong with them."""
MAX_KEPT: Final = 200
"""With the worst of every kind of mistake that is not among those, such as each cell of a confusion matrix."""
_BEFORE_CHARS: Final = 400
"""Of a long context, what is shown before the answer."""


@dataclass(frozen=True, kw_only=True)
class Mistakes:
    num_wrong: int | None
    """None where every answer is more or less wrong."""
    kept: list[Mistake] = field(default_factory=list)
    """Worst first."""


def worst(severity: np.ndarray, kinds: Sequence[Hashable]) -> list[int]:
    """Places of those to keep, by severity and kind of each; of equally bad ones the first."""
    order: list[int] = np.argsort(-severity, kind="stable").tolist()
    kept = order[:NUM_WORST]
    seen = {kinds[place] for place in kept}
    for place in order[NUM_WORST:]:
        if len(kept) == MAX_KEPT:
            break
        if kinds[place] not in seen:
            seen.add(kinds[place])
            kept.append(place)
    return kept


def shown(examples: Examples, number: int, *, answer_start: int | None = None) -> dict[str, Any]:
    """What a mistake tells of the example itself; ``answer_start``: the character of the second text that must be seen."""
    pair = None if examples.pairs is None else examples.pairs[number]
    return {
        "row": examples.row_of(number),
        "text": cut(examples.texts[number]),
        "text_pair": None if pair is None else cut(pair, start=max(0, (answer_start or 0) - _BEFORE_CHARS)),
    }


def cut(text: str, *, start: int = 0) -> str:
    """At most ``MAX_TEXT_CHARS`` of it from ``start`` on, or all of it if it is no longer; dots stand for what is left out."""
    if len(text) <= MAX_TEXT_CHARS:
        return text
    part = text[start : start + MAX_TEXT_CHARS]
    return ("…" if start else "") + part + ("…" if start + MAX_TEXT_CHARS < len(text) else "")
