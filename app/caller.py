"""For whom this thread or task works: the project whose rows it may see, and the key that it was asked with.

Nobody, which is the default, is the service itself (sweeps, workers, migrations): it sees the rows of all projects.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

DEFAULT_PROJECT: Final = "default"
"""Owns everything where no keys are configured."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks."""

    project_id: str
    key_id: str | None = None
    """None without keys."""
    scopes: frozenset[str] = frozenset()
    """What the key may be used for (``app.key.scopes``)."""


_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


def current() -> Caller | None:
    """Who asks; None inside the service itself."""
    return _caller.get()


def project_id() -> str:
    """The project that owns what is made now."""
    caller = _caller.get()
    return DEFAULT_PROJECT if caller is None else caller.project_id


@contextmanager
def acting_for(caller: Caller | None) -> Iterator[None]:
    """Work for that caller until the end of the block; for None as the service itself."""
    token = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(token)
