"""An input as a model sees it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.spec.words import Span


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedText:
    """One input as the model sees it."""

    input_ids: list[int]
    token_type_ids: list[int] | None
    truncated: bool
    """Tokens were cut off to fit ``ServingSpec.max_length``."""
    words: list[Span] | None = None
    """Where each word is that gets a tag, in characters; None: the text as a whole gets one answer."""
    first_tokens: Sequence[int] | None = None
    """For each word the number of the token that stands for it (-1: none does); of a text whose tokens are measured, that of the
    token before each."""
    targets: list[int] | None = None
    """The tokens that are measured."""
    spans: NDArray[np.int32] | None = None
    """Of a window: where each token is in the context, ``[tokens, (first character, behind the last)]``; equal: not in it."""
    windows: "list[EncodedText] | None" = None
    """Where a context is read in windows: those are what the model sees, and this has no tokens of its own."""

    @property
    def parts(self) -> "list[EncodedText]":
        """What goes through the model, one after the other."""
        return [self] if self.windows is None else self.windows

    @property
    def num_tokens(self) -> int:
        return len(self.input_ids) if self.windows is None else sum(part.num_tokens for part in self.windows)

    @property
    def num_rows(self) -> int:
        """Rows of logits that it gets."""
        if self.windows is not None:
            return sum(part.num_rows for part in self.windows)
        return 1 if self.first_tokens is None else len(self.first_tokens)
