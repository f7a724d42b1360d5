"""Tokens become text while they come: whole characters only, nothing of a text that stops it, no special tokens.

A token's text depends on those beside it (a leading space, a character of several tokens), so a token is decoded with the one
before it, and what that one says alone is taken off, as text-generation-inference and vLLM do.
"""

from collections.abc import Sequence
from typing import Any, Final

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer writes for bytes that are no character, or none yet."""
MOST_PENDING: Final = 3
"""Tokens that may wait for the rest of a character, which has four bytes at most and a token for each at worst."""


CONTEXT_TOKENS: Final = 5
"""Of what a text follows: more than any tokenizer looks back."""


class TextStream:
    """The text of tokens pushed so far."""

    def __init__(self, tokenizer: Any, *, stop: Sequence[str], behind: Sequence[int] = ()) -> None:
        """``behind``: what the text follows, whose end tells whether its first word is one of its own."""
        self._tokenizer = tokenizer
        self._stop = stop
        self._tokens: list[int] = list(behind[-CONTEXT_TOKENS:])
        self._context = 0
        self._read = len(self._tokens)
        self._before = self._decode(0, self._read)
        """What the tokens from ``_context`` to ``_read`` say, whose text is known already."""
        self.text = ""
        """Of whole characters; ends where a stop text begins."""
        self.is_stopped = False

    @property
    def num_safe(self) -> int:
        """Characters of ``text`` that stay, whatever comes: what may be the beginning of a stop text is not counted."""
        if self.is_stopped:
            return len(self.text)
        return len(self.text) - max((_begun(self.text, stop) for stop in self._stop), default=0)

    def push(self, token: int) -> None:
        """Take one token more; nothing if the text has been stopped."""
        if self.is_stopped:
            return
        self._tokens.append(token)
        now = self._decode(self._context, len(self._tokens))
        if now.endswith(REPLACEMENT):
            if (
                len(self._tokens) - self._read > MOST_PENDING
            ):  # the oldest is no part of a character that is still to come
                self._advance(self._decode(self._context, self._read + 1), self._read + 1)
            return
        self._advance(now, len(self._tokens))

    def push_all(self, tokens: Sequence[int]) -> None:
        """The same for the first tokens of all, in one go where they hold nothing but whole characters."""
        whole = str(self._tokenizer.decode([*self._tokens, *tokens], skip_special_tokens=True))[len(self._before) :]
        if self._stop or REPLACEMENT in whole:
            for token in tokens:
                self.push(token)
        else:
            self.text = whole
            self._tokens += tokens
            self._context, self._before = self._read, self._decode(self._read, len(self._tokens))
            self._read = len(self._tokens)

    def finish(self) -> None:
        """Nothing comes any more: half a character is left out."""
        if not self.is_stopped and self._read < len(self._tokens):
            now = self._decode(self._context, len(self._tokens))
            self._advance(now[: len(self._before)] + now[len(self._before) :].rstrip(REPLACEMENT), len(self._tokens))

    def _decode(self, start: int, end: int) -> str:
        return str(self._tokenizer.decode(self._tokens[start:end], skip_special_tokens=True))

    def _advance(self, now: str, end: int) -> None:
        looked_at = len(self.text)
        self.text += now[len(self._before) :]
        alone = self._decode(self._read, end)
        if alone:
            self._context, self._before = self._read, alone
        else:  # special tokens: what comes next is written as behind the text before them
            self._before = now
        self._read = end
        begins = (self.text.find(stop, max(0, looked_at - len(stop) + 1)) for stop in self._stop)
        places = [place for place in begins if place >= 0]
        if places:
            self.text = self.text[: min(places)]
            self.is_stopped = True


def _begun(text: str, stop: str) -> int:
    """Characters at the end of ``text`` with which ``stop`` begins."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
