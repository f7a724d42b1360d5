"""The transport of ``AsyncTunery``: asyncio's."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx2

from app.client.address import Address
from app.client.errors import TuneryError
from app.client.explaining import explaining
from app.client.transport import Answer, Inbox, Reader, Request, Stream, StreamEvent

T = TypeVar("T")


class AwaitingTransport:
    """httpx' asynchronous client, of one event loop."""

    def __init__(self, address: Address) -> None:
        self.url = address.url
        self._client = httpx2.AsyncClient(
            base_url=address.url,
            headers={"authorization": f"Bearer {address.api_key}"} if address.api_key else {},
            trust_env=not address.is_local,
            follow_redirects=True,  # to a store, without the key
        )

    async def send(self, request: Request) -> Answer:
        with explaining(self.url):
            response = await self._client.request(request.method, request.path, **request.options())
        return Answer(response.status_code, response.headers, response.content)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[Stream]:
        with explaining(self.url):
            async with self._client.stream(request.method, request.path, **request.options()) as response:
                yield _AwaitingStream(response)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def call(self, function: Callable[[], T]) -> T:
        return await asyncio.to_thread(function)

    def listen(self, reader: Reader[T]) -> Inbox[T]:
        return _TaskInbox(reader)

    async def close(self) -> None:
        await self._client.aclose()

    @staticmethod
    def run(coroutine: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """As it is: the caller awaits it."""
        return coroutine

    @staticmethod
    def iterate(items: AsyncIterator[T]) -> AsyncIterator[T]:
        """As they are."""
        return items


class _AwaitingStream:
    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self.status = response.status_code

    async def read(self) -> Answer:
        return Answer(self._response.status_code, self._response.headers, await self._response.aread())

    async def blocks(self) -> AsyncIterator[bytes]:
        async for block in self._response.aiter_bytes():
            yield block

    async def events(self) -> AsyncIterator[StreamEvent]:
        async for event in httpx2.EventSource(self._response, max_event_size=None):
            yield StreamEvent(id=event.id, event=event.event, data=event.data)


class _TaskInbox(Inbox[T]):
    def __init__(self, reader: Reader[T]) -> None:
        self._items: asyncio.Queue[T] = asyncio.Queue()
        self._task = asyncio.ensure_future(self._read(reader))

    async def _read(self, reader: Reader[T]) -> None:
        with contextlib.suppress(TuneryError):
            await reader(self._items.put_nowait, lambda: False)

    async def take(self, *, wait_seconds: float) -> T | None:
        if wait_seconds <= 0:
            return None if self._items.empty() else self._items.get_nowait()
        try:
            async with asyncio.timeout(wait_seconds):
                return await self._items.get()
        except TimeoutError:
            return None

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
