"""The transport of ``Tunery``: blocks where a coroutine awaits."""

import contextlib
import queue
import socket
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx2

from app.client.address import Address
from app.client.errors import TuneryError
from app.client.explaining import explaining
from app.client.transport import Answer, Inbox, Reader, Request, Stream, StreamEvent

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine over a ``BlockingTransport``, which never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine over a blocking transport has suspended")


def iterate(items: AsyncIterator[T]) -> Iterator[T]:
    """The items of an asynchronous generator over a ``BlockingTransport``; closed when the caller has enough."""

    async def next_item() -> T:
        return await anext(items)

    try:
        while True:
            try:
                yield run(next_item())
            except StopAsyncIteration:
                return
    finally:
        if isinstance(items, AsyncGenerator):
            run(items.aclose())


class BlockingTransport:
    """httpx' blocking client. May be shared by threads."""

    def __init__(self, address: Address) -> None:
        self.url = address.url
        self._client = httpx2.Client(
            base_url=address.url,
            headers={"authorization": f"Bearer {address.api_key}"} if address.api_key else {},
            trust_env=not address.is_local,
            follow_redirects=True,  # to a store, without the key
        )
        self._reading: dict[int, httpx2.Response] = {}
        """The stream that a thread reads."""

    async def send(self, request: Request) -> Answer:
        with explaining(self.url):
            response = self._client.request(request.method, request.path, **request.options())
        return Answer(response.status_code, response.headers, response.content)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[Stream]:
        thread = threading.get_ident()
        with (
            explaining(self.url),
            self._client.stream(request.method, request.path, **request.options()) as response,
        ):
            self._reading[thread] = response
            try:
                yield _BlockingStream(response)
            finally:
                self._reading.pop(thread, None)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def call(self, function: Callable[[], T]) -> T:
        return function()

    def listen(self, reader: Reader[T]) -> Inbox[T]:
        return _ThreadInbox(self, reader)

    async def close(self) -> None:
        self._client.close()

    def interrupt(self, thread: int) -> None:
        """End the stream that a thread reads: to close it would leave the thread waiting for its next byte."""
        response = self._reading.get(thread)
        connection = None if response is None else response.extensions.get("network_stream")
        found = None if connection is None else connection.get_extra_info("socket")
        if isinstance(found, socket.socket):
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)

    # What a Resource calls: the same coroutine is a result here, and is awaited by the caller of AwaitingTransport.
    run = staticmethod(run)
    iterate = staticmethod(iterate)


class _BlockingStream:
    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self.status = response.status_code

    async def read(self) -> Answer:
        return Answer(self._response.status_code, self._response.headers, self._response.read())

    async def blocks(self) -> AsyncIterator[bytes]:
        for block in self._response.iter_bytes():
            yield block

    async def events(self) -> AsyncIterator[StreamEvent]:
        for event in httpx2.EventSource(self._response, max_event_size=None):
            yield StreamEvent(id=event.id, event=event.event, data=event.data)


class _ThreadInbox(Inbox[T]):
    def __init__(self, transport: BlockingTransport, reader: Reader[T]) -> None:
        self._transport = transport
        self._items: queue.Queue[T] = queue.Queue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(reader,), name="tunery-reader", daemon=True)
        self._thread.start()

    def _read(self, reader: Reader[T]) -> None:
        with contextlib.suppress(TuneryError):
            run(reader(self._items.put, self._stopped.is_set))

    async def take(self, *, wait_seconds: float) -> T | None:
        try:
            return self._items.get(timeout=wait_seconds) if wait_seconds > 0 else self._items.get_nowait()
        except queue.Empty:
            return None

    async def stop(self) -> None:
        self._stopped.set()
        if self._thread.ident is not None:
            self._transport.interrupt(self._thread.ident)
