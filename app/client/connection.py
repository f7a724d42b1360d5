"""Requests and their answers as documents: what is repeated when, and what an error is."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

from app.client.errors import (
    ConnectionFailed,
    ConnectionRefused,
    ConnectionTimedOut,
    NotTunery,
    TuneryError,
    from_problem,
)
from app.client.transport import TIMEOUT_SECONDS, UPLOAD_TIMEOUT_SECONDS, Answer, FilePart, Request, Stream, Transport

FIRST_PAUSE_SECONDS: Final = 0.5
"""Before the first repetition; each further pause is twice as long."""
LONGEST_PAUSE_SECONDS: Final = 30.0
"""A server that wants to be left alone for longer is told of at once."""
ASK_AGAIN: Final = frozenset({429, 503})
"""With ``Retry-After`` they mean: nothing was done, ask again."""


class Connection:
    """Sends requests over a transport, and repeats them where that does no harm, ``max_retries`` times.

    Every method raises a TuneryError. What comes back is JSON as it was sent, so that nothing of a newer server is lost.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        max_retries: int = 2,
        waits_for_start: bool = True,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.transport = transport
        self._timeout_seconds = timeout_seconds
        """The longest silence that is borne of what is answered at once."""
        self._max_retries = max_retries
        self._waits_for_start = waits_for_start
        """Whether a server where nobody listens is asked again; a person is told at once."""

    def asking_once(self) -> "Connection":
        """For callers who have a patience of their own."""
        return Connection(self.transport, max_retries=0, timeout_seconds=self._timeout_seconds)

    async def get(self, path: str, **params: Any) -> Any:
        given = {name: value for name, value in params.items() if value is not None}
        return await self._document(self._request("GET", path, params=given, is_repeatable=True))

    async def post(self, path: str, body: Any = None, *, is_repeatable: bool = False, **params: Any) -> Any:
        return await self._document(self._request("POST", path, params=params, body=body, is_repeatable=is_repeatable))

    async def make_job(self, path: str, body: Any, *, idempotency_key: str | None = None) -> Any:
        """Post what makes a job. However often it is sent under its key, which is made up if not given, it makes one."""
        headers = {"idempotency-key": idempotency_key or uuid4().hex}
        return await self._document(self._request("POST", path, body=body, headers=headers, is_repeatable=True))

    async def patch(self, path: str, body: Any) -> Any:
        return await self._document(self._request("PATCH", path, body=body))

    async def put(self, path: str, body: Any) -> Any:
        return await self._document(self._request("PUT", path, body=body, is_repeatable=True))

    async def delete(self, path: str, **params: Any) -> Any:
        return await self._document(self._request("DELETE", path, params=params))

    async def upload(
        self, path: str, *, fields: dict[str, str], files: list[FilePart], is_repeatable: bool = False
    ) -> Any:
        """A form, streamed from open files."""
        return await self._document(
            Request(
                method="POST",
                path=path,
                fields=fields,
                files=tuple(files),
                timeout_seconds=UPLOAD_TIMEOUT_SECONDS,
                is_repeatable=is_repeatable,
            )
        )

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        body: Any = None,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> AsyncIterator[Stream]:
        """An answer that is read as it comes; ``timeout_seconds`` is the longest silence. With a ``body`` it is posted."""
        request = Request(
            method="GET" if body is None else "POST",
            path=path,
            body=body,
            params=params or {},
            headers=headers or {},
            timeout_seconds=timeout_seconds,
        )
        async with self.transport.stream(request) as stream:
            if stream.status >= 400:
                raise _error_of(await stream.read())
            yield stream

    async def answers(self) -> bool:
        """Whether a Tunery is there and ready."""
        try:
            answer = await self.transport.send(Request(method="GET", path="/health/ready", timeout_seconds=5))
        except ConnectionFailed:
            return False
        return answer.status == 200 and b'"parts"' in answer.content

    def _request(self, method: str, path: str, **options: Any) -> Request:
        return Request(method=method, path=path, timeout_seconds=self._timeout_seconds, **options)

    async def _document(self, request: Request) -> Any:
        answer = await self._answer(request)
        try:
            return json.loads(answer.content) if answer.content else None
        except ValueError as error:
            raise NotTunery(
                f"{self.transport.url} does not answer like Tunery does", hint="check TUNERY_URL"
            ) from error

    async def _answer(self, request: Request) -> Answer:
        num_retries = 0
        while True:
            try:
                answer = await self.transport.send(request)
                if answer.status >= 400:
                    raise _error_of(answer)
            except TuneryError as error:
                pause = FIRST_PAUSE_SECONDS * 2**num_retries
                if isinstance(error, ConnectionFailed):
                    again = self._repeats(request, error)
                else:
                    pause = error.retry_after_seconds or 0.0
                    again = error.status in ASK_AGAIN and 0 < pause <= LONGEST_PAUSE_SECONDS
                if not again or num_retries >= self._max_retries:
                    raise
                num_retries += 1
                await self.transport.sleep(pause)
            else:
                return answer

    def _repeats(self, request: Request, error: ConnectionFailed) -> bool:
        if isinstance(error, ConnectionRefused):
            return self._waits_for_start
        if isinstance(error, ConnectionTimedOut):  # a server that is too slow is not helped by more questions
            return "idempotency-key" in request.headers
        return request.is_repeatable


def _error_of(answer: Answer) -> TuneryError:
    try:
        document = json.loads(answer.content)
    except ValueError:
        document = None
    error = from_problem(
        answer.status,
        document,
        request_id=answer.headers.get("x-request-id"),
        retry_after_seconds=_seconds(answer.headers.get("retry-after")),
    )
    if answer.status == 401:
        error.hint = "Set TUNERY_API_KEY to a key of this server."
    return error


def _seconds(header: str | None) -> float | None:
    """Of ``Retry-After``; a date, which proxies may send, is none."""
    try:
        return None if header is None else float(header)
    except ValueError:
        return None
