"""The small phrase grammar that both example generators share: choices, slots and seeded chance."""

# ruff: noqa: INP001 - scripts in a folder, not a package

import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

LEXICON = Path(__file__).parent / "lexicon"
CHOICE = re.compile(r"\[([^\[\]]*)\]")
SLOT = re.compile(r"\{(\w+)\}")
WORD = re.compile(r"[a-z0-9$%][a-z0-9$%'.:,]*[a-z0-9$%]|[a-z0-9]")
# "a accountant" becomes "an accountant"; "a one-way" and "a used" stay.
ARTICLE = re.compile(r"\b([Aa]) (?=[aeio](?!ne\b|ne-|u)|u(?!s|ni))")


class Dice:
    """Seeded chance that is the same under every Python version.

    Python promises a stable sequence for random() alone: choice, shuffle and sample have changed between versions,
    and a changed sequence would rewrite every example file.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311 - seeded data generation, not cryptography

    def chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def pick(self, items: Sequence[T]) -> T:
        return items[int(self._random.random() * len(items))]

    def weighted(self, weights: Mapping[str, float]) -> str:
        point = self._random.random() * sum(weights.values())
        for name, weight in weights.items():
            point -= weight
            if point < 0:
                return name
        return name

    def shuffled(self, items: Iterable[T]) -> list[T]:
        return [item for _, _, item in sorted((self._random.random(), i, item) for i, item in enumerate(items))]


def read_lines(name: str) -> list[str]:
    """Return the lines of a lexicon file, without its comments but with its empty lines, which part the frames."""
    lines = (LEXICON / name).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if not line.startswith("#")]


def choose(text: str, *, dice: Dice) -> str:
    """Replace each "[this|that]" by one of its alternatives, the innermost first, so that they may nest."""
    while match := CHOICE.search(text):
        text = text[: match.start()] + dice.pick(match[1].split("|")) + text[match.end() :]
    return text


def tidy(text: str) -> str:
    """Mend what filling in slots leaves behind: double spaces, "a editor", "3 p.m.." and a small first letter."""
    text = ARTICLE.sub(r"\1n ", re.sub(r"\s+", " ", text).strip())
    text = re.sub(r"\.\.$", ".", text)
    return text[:1].upper() + text[1:]


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def write_jsonl(path: Path, *, rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows with line feeds alone, on every system, so that the bytes are the same everywhere."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lines.encode("utf-8"))
