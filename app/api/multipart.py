"""Multipart bodies as a stream of parts: nothing is spooled, and memory stays at about one block whatever is sent.

FastAPI's own form parsing writes every file to a temporary folder before the route runs. Here the route reads the parts
in the order they come, so that a bad file is refused while it is still being sent.
"""

from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from app.errors import InvalidRequest, TooLarge

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

BLOCK_BYTES: Final = 2**20
"""Size of the blocks a part is read in; the network's own pieces (64 KiB) would cost a thread switch each to store."""
_MULTIPART_OVERHEAD_BYTES: Final = 64 * 1024
"""What boundaries and part headers may add to the contents before a declared length is called too large."""


class Part:
    """One part of the body. Read its ``blocks`` before asking for the next one; else it is skipped."""

    def __init__(self, body: "_Body", *, name: str, filename: str | None, content_type: str | None) -> None:
        self.name = name
        self.filename = filename
        """As the client sent it: check it before it becomes part of a path."""
        self.content_type = content_type
        self._body = body

    async def blocks(self) -> AsyncIterator[bytes]:
        """The content in blocks of about 1 MiB; no empty ones."""
        pending = bytearray()
        while (piece := await self._body.next_piece()) is not None:
            pending += piece
            if len(pending) >= BLOCK_BYTES:
                yield bytes(pending)
                pending.clear()
        if pending:
            yield bytes(pending)


async def read_parts(request: Request, *, max_bytes: int, max_parts: int = 64) -> AsyncIterator[Part]:
    """The parts of a ``multipart/form-data`` request in the order they come.

    Raises InvalidRequest if the body is no multipart form, is malformed, ends early or has more than ``max_parts``, and
    TooLarge when the contents exceed ``max_bytes`` in all (at once, if the declared length tells). A client that goes
    away raises Starlette's ClientDisconnect.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes + _MULTIPART_OVERHEAD_BYTES:
        raise _too_large(max_bytes)
    body = _Body(request, max_bytes=max_bytes)
    count = 0
    while (part := await body.next_part()) is not None:
        count += 1
        if count > max_parts:
            raise InvalidRequest(f"The form has more than {max_parts} parts.", code="too_many_parts")
        yield part


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"The upload is larger than {max_bytes} bytes.", code="upload_too_large")


class _Body:
    """Turns the callbacks of the push parser into parts and pieces that can be asked for."""

    def __init__(self, request: Request, *, max_bytes: int) -> None:
        self._stream = request.stream()
        self._max_bytes = max_bytes
        self._num_bytes = self._num_received = 0
        self._events: deque[Part | bytes | None] = deque()
        """A part has begun; a piece of its content; ``None``: it has ended. At most what one network piece holds."""
        self._inside_part = False
        self._complete = False
        self._header_name = b""
        self._header_value = b""
        self._headers: dict[bytes, bytes] = {}
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": lambda: self._events.append(None),
            "on_end": self._on_end,
        }
        content_type, options = parse_options_header(request.headers.get("content-type"))
        if content_type != b"multipart/form-data" or not options.get(b"boundary"):
            raise InvalidRequest("The body must be multipart/form-data.", code="not_multipart", param="content-type")
        try:
            self._parser = MultipartParser(options[b"boundary"], callbacks)
        except FormParserError as error:
            raise _malformed() from error

    async def next_part(self) -> Part | None:
        while self._inside_part:
            await self.next_piece()
        while not self._events:
            if not await self._feed():
                return None
        part = self._events.popleft()
        assert isinstance(part, Part)
        self._inside_part = True
        return part

    async def next_piece(self) -> bytes | None:
        """The next piece of the current part; ``None`` at its end, and ever after until the next part is asked for."""
        if not self._inside_part:
            return None
        while not self._events:
            if not await self._feed():
                raise _malformed()
        event = self._events.popleft()
        assert not isinstance(event, Part)
        self._inside_part = event is not None
        return event

    async def _feed(self) -> bool:
        """Parse one network piece. False at the end of the body; raises if the body ends before its last boundary."""
        async for piece in self._stream:
            self._num_received += len(piece)
            if self._num_received > self._max_bytes + _MULTIPART_OVERHEAD_BYTES:
                raise _too_large(self._max_bytes)  # also what no part holds, before the first and after the last
            try:
                self._parser.write(piece)
            except FormParserError as error:
                raise _malformed() from error
            return True
        if not self._complete:
            raise _malformed()
        return False

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition"))
        if disposition != b"form-data" or b"name" not in options:
            raise InvalidRequest("A part has no Content-Disposition with a name.", code="malformed_multipart")
        filename = options.get(b"filename")
        content_type = self._headers.get(b"content-type")
        self._events.append(
            Part(
                self,
                name=_decoded(options[b"name"]),
                filename=None if filename is None else _decoded(filename),
                content_type=None if content_type is None else _decoded(content_type).partition(";")[0].strip().lower(),
            )
        )

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._num_bytes += end - start
        if self._num_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        self._events.append(data[start:end])

    def _on_end(self) -> None:
        self._complete = True


def _malformed() -> InvalidRequest:
    return InvalidRequest("The multipart body is malformed or ends early.", code="malformed_multipart")


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
