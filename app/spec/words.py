"""Words of a text, and which token stands for each: the model's answer for a word is that of its first token."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

Span = tuple[int, int]
"""First character, and the one behind the last."""

_CHUNK: Final = re.compile(r"\S+")
_OPENING: Final = "([{<\"'“‘«„‚¿¡*–—（「『【《"
_CLOSING: Final = ")]}>\"'”’»“‘.,;:!?…*–—）」』】》。、，！？；："
"""What is taken off the ends of a word. (Some quotes open in one language and close in another.)"""
_ALONE: Final = re.compile(
    "["
    "\u3040-\u30ff"  # Hiragana, Katakana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Chinese characters
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "、。，！？；：（）「」『』【】《》"
    "]"
)
"""Characters of scripts that put no space between words: each is a word of its own."""
_JOINT: Final = re.compile(r"(?<=\w)[-/–—](?=\w)")
"""What joins words, and is one itself: a name may be a part of what it joins."""


def split_words(text: str) -> list[Span]:
    """What white space separates; brackets, quotes and marks at its ends, and what joins parts, are words of their own."""
    return [
        word for chunk in _CHUNK.finditer(text) for part in _parts(text, chunk.span()) for word in _trimmed(text, part)
    ]


def _parts(text: str, chunk: Span) -> Iterator[Span]:
    start, end = chunk
    at = start
    found = sorted([*_ALONE.finditer(text, start, end), *_JOINT.finditer(text, start, end)], key=re.Match.start)
    for match in found:
        if match.start() > at:
            yield at, match.start()
        yield match.span()
        at = match.end()
    if at < end:
        yield at, end


def _trimmed(text: str, part: Span) -> list[Span]:
    start, end = part
    word = text[start:end]
    first = start + len(word) - len(word.lstrip(_OPENING))
    behind = start + len(word.rstrip(_CLOSING))
    if first >= behind:
        return [part]
    return [(a, b) for a, b in ((start, first), (first, behind), (behind, end)) if a < b]


def join_words(words: Sequence[str]) -> tuple[str, list[Span]]:
    """The words as a text, and where in it they are."""
    spans: list[Span] = []
    start = 0
    for word in words:
        spans.append((start, start + len(word)))
        start += len(word) + 1
    return " ".join(words), spans


def first_tokens(offsets: Sequence[Span], words: Sequence[Span]) -> list[int]:
    """For each word the number of its first token; -1 if it has none: cut off, or of characters the tokenizer drops.

    ``offsets`` are those of a fast tokenizer: the characters of each token, (0, 0) for special ones.
    """
    found = []
    token = 0
    for start, end in words:
        while token < len(offsets) and offsets[token][1] <= start:
            token += 1
        found.append(token if token < len(offsets) and offsets[token][0] < end else -1)
    return found
