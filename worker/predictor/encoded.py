"""An input as a model sees it."""

from dataclasses import dataclass

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
    first_tokens: list[int] | None = None
    """For each word the number of the token that stands for it (-1: none does); of a text whose tokens are measured, that of the
    token before each."""
    targets: list[int] | None = None
    """The tokens that are measured."""

    @property
    def num_tokens(self) -> int:
        return len(self.input_ids)

    @property
    def num_rows(self) -> int:
        """Rows of logits that it gets."""
        return 1 if self.first_tokens is None else len(self.first_tokens)
