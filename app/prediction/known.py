"""Whom references mean, remembered for a moment: looking it up takes longer than asking the predictor does."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app import caller

SECONDS: Final = 1.0
"""A model that another process has deleted may be asked for so long."""
MOST: Final = 4096


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """Where the predictor finds a model."""

    id: str
    folder: Path
    manifest_sha256: str


_found: dict[tuple[str | None, str], tuple[float, ServedModel]] = {}
"""By whose it must be, and the reference."""


def recall(reference: str) -> ServedModel | None:
    """What ``reference`` meant a moment ago, to the same caller."""
    found = _found.get(_key(reference))
    return None if found is None or time.monotonic() > found[0] else found[1]


def remember(reference: str, resolve: Callable[[str], ServedModel]) -> ServedModel:
    """What ``resolve`` says; raises what it raises, which is not remembered."""
    served = resolve(reference)
    if len(_found) >= MOST:
        _found.clear()
    _found[_key(reference)] = (time.monotonic() + SECONDS, served)
    return served


def _key(reference: str) -> tuple[str | None, str]:
    who = caller.current()
    return None if who is None else who.project_id, reference


def forget() -> None:
    """Something was deleted by this process, which knows it at once."""
    _found.clear()
