"""Who sees whom in attention."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Sight:
    """Which of its example's tokens a token sees."""

    window: int | None = None
    """None as far away as this."""
    causal: bool = False
    """None behind it."""


EVERYTHING: Final = Sight()
