"""What a check found wrong."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    subject: str
    """Id of what it is about, or a path relative to the home."""
    kind: str
    message: str
