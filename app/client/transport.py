"""What the client needs of the world: to send a request, to read a stream, to wait, to read in the background.

All that the client does is written once, as coroutines over a ``Transport``. There are two: ``AwaitingTransport`` is asyncio's;
``BlockingTransport`` blocks where the other awaits, so that its coroutines never suspend and end in one go.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")
Found_co = TypeVar("Found_co", covariant=True)

TIMEOUT_SECONDS: Final = 30.0
UPLOAD_TIMEOUT_SECONDS: Final = 900.0
"""A file is checked while it is received, and a model hashed: the answer may take its time."""

FilePart = tuple[str, tuple[str, Any, str]]
"""Of a form: name of the part, and file name, open file and content type."""


@dataclass(frozen=True, kw_only=True)
class Request:
    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    """Sent as JSON, if it is not None."""
    fields: Mapping[str, str] = field(default_factory=dict)
    files: tuple[FilePart, ...] = ()
    """With ``fields`` a form, streamed from open files."""
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = TIMEOUT_SECONDS
    """The longest silence."""
    is_repeatable: bool = False
    """To ask it twice is the same as to ask it once."""

    def options(self) -> dict[str, Any]:
        """The arguments that httpx takes for it, but for the method and the path."""
        told: dict[str, Any] = {
            "params": dict(self.params),
            "headers": dict(self.headers),
            "timeout": self.timeout_seconds,
        }
        if self.body is not None:
            told["json"] = self.body
        if self.files:
            told |= {"data": dict(self.fields), "files": list(self.files)}
        return told


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class StreamEvent:
    """A server-sent event."""

    id: str
    """Of this event, or of the last one before it that had one; empty: none had."""
    event: str
    data: str


class Stream(Protocol):
    """An answer whose body is read as it comes."""

    @property
    def status(self) -> int: ...

    async def read(self) -> Answer:
        """All of it."""
        ...

    def blocks(self) -> AsyncIterator[bytes]: ...

    def events(self) -> AsyncIterator[StreamEvent]: ...


class Inbox(Protocol[Found_co]):
    """What a reader in the background has found."""

    async def take(self, *, wait_seconds: float) -> Found_co | None:
        """The next, or None if none comes within that time."""
        ...

    async def stop(self) -> None:
        """Ends the reader."""
        ...


Reader = Callable[[Callable[[T], None], Callable[[], bool]], Coroutine[Any, Any, None]]
"""Puts what it finds by its first argument, until its second says that nobody wants more."""


class Transport(Protocol):
    @property
    def url(self) -> str: ...

    async def send(self, request: Request) -> Answer:
        """Raises ConnectionFailed."""
        ...

    def stream(self, request: Request) -> AbstractAsyncContextManager[Stream]:
        """Raises ConnectionFailed, also while it is read."""
        ...

    async def sleep(self, seconds: float) -> None: ...

    async def call(self, function: Callable[[], T]) -> T:
        """Call what blocks, such as a write to a disk."""
        ...

    def listen(self, reader: Reader[T]) -> Inbox[T]: ...

    async def close(self) -> None: ...
