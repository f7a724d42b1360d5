"""Words of a text, and which token stands for each: the model's answer for a word is that of its first token."""

import re
from collections.abc import Sequence
from typing import Final

Span = tuple[int, int]
"""First character, and the one behind the last."""

_CHUNK: Final = re.compile(r"\S+")
_PARTS: Final = re.compile(r"""([(\[{<"'“‘«]*)(.*?)([)\]}>"'”’».,;:!?…]*)""", re.DOTALL)
"""What opens before a word, the word, and what closes behind it."""


def split_words(text: str) -> list[Span]:
    """What white space separates; brackets, quotes and marks at its ends are words of their own."""
    words: list[Span] = []
    for chunk in _CHUNK.finditer(text):
        parts = _PARTS.fullmatch(chunk.group())
        if parts is None or not parts.group(2):
            words.append(chunk.span())
            continue
        start = chunk.start()
        words += [(start + a, start + b) for a, b in (parts.span(1), parts.span(2), parts.span(3)) if a < b]
    return words


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
