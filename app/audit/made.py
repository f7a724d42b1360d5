"""How the audit log learns the id of what a request makes: a service tells it, whichever route it was asked through."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_made: ContextVar[list[str] | None] = ContextVar("made", default=None)
"""A list, so that what is told in a route's thread is seen by its request."""


def tell(object_id: str) -> None:
    """This request has made it. Outside of any request it is nobody's business."""
    if (found := _made.get()) is not None:
        found.append(object_id)


@contextmanager
def listening() -> Iterator[list[str]]:
    """What is told in the block."""
    found: list[str] = []
    token = _made.set(found)
    try:
        yield found
    finally:
        _made.reset(token)
