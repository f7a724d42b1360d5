import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterable

import pytest
from starlette.requests import Request

from app.api.multipart import BLOCK_BYTES, read_parts
from app.errors import InvalidRequest, ServiceError, TooLarge

BOUNDARY = "----b0undary"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, content: bytes, *, filename: str | None = None) -> bytes:
    named = f'; filename="{filename}"' if filename is not None else ""
    return (
        (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n').encode() + content + b"\r\n"
    )


END = f"--{BOUNDARY}--\r\n".encode()
BODY = part("name", b"my model") + part("files", b"\r\n--\x00\xff" * 1000, filename="a.bin") + part("empty", b"") + END


def request(pieces: Iterable[bytes], *, content_type: str = TYPE, length: int | None = None) -> Request:
    stream = iter(pieces)

    async def receive() -> dict:
        piece = next(stream, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    headers = [(b"content-type", content_type.encode())]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def read(asked: Request, **limits: int) -> list[tuple[str, str | None, bytes]]:
    async def collect() -> list[tuple[str, str | None, bytes]]:
        limits.setdefault("max_bytes", 10**6)
        return [
            (each.name, each.filename, b"".join([block async for block in each.blocks()]))
            async for each in read_parts(asked, **limits)
        ]

    return asyncio.run(collect())


def refused(asked: Request, **limits: int) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        read(asked, **limits)
    return caught.value


@pytest.mark.parametrize("size", [1, 2, 7, 61, 4096, len(BODY)])
def test_parts_come_out_the_same_however_the_network_cuts_them(size: int):
    pieces = [BODY[start : start + size] for start in range(0, len(BODY), size)]
    assert read(request(pieces)) == [
        ("name", None, b"my model"),
        ("files", "a.bin", b"\r\n--\x00\xff" * 1000),
        ("empty", None, b""),
    ]


def test_a_part_that_is_not_read_is_skipped():
    async def names() -> list[str]:
        return [each.name async for each in read_parts(request([BODY]), max_bytes=10**6)]

    assert asyncio.run(names()) == ["name", "files", "empty"]


@pytest.mark.parametrize("end", range(1, len(BODY) - 4, 97))
def test_a_body_that_ends_early_is_refused(end: int):
    assert refused(request([BODY[:end]])).code == "malformed_multipart"


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "multipart/form-data", "multipart/form-data; boundary="]
)
def test_what_is_no_form_is_refused(content_type: str):
    assert refused(request([BODY], content_type=content_type)).code == "not_multipart"


@pytest.mark.parametrize(
    "body",
    [
        b"garbage",
        b"",
        BODY.replace(b"form-data; name", b"attachment; name"),
        BODY.replace(b"Content-Disposition: ", b"Content-Disposition: " + b"x" * 10_000),
        BODY.replace(b"Content-Disposition", b"Content Disposition"),
    ],
)
def test_a_malformed_body_is_refused(body: bytes):
    error = refused(request([body]))
    assert isinstance(error, InvalidRequest)
    assert error.code == "malformed_multipart"


def test_too_much_is_refused_while_it_comes_and_at_once_when_announced():
    def endless() -> AsyncIterator[bytes]:
        yield part("files", b"")[:-2]
        for _ in range(1000):
            yield bytes(1000)
        pytest.fail("read on after the limit")

    assert isinstance(refused(request(endless()), max_bytes=5000), TooLarge)
    assert isinstance(refused(request([], length=10**9), max_bytes=5000), TooLarge)


def test_too_many_parts_are_refused():
    assert refused(request([part("files", b"") * 9 + END]), max_parts=8).code == "too_many_parts"


def test_memory_stays_at_a_block_or_two():
    count, piece = 512, bytes(65536)

    def pieces() -> Iterable[bytes]:
        yield part("files", b"", filename="big")[:-2]
        for _ in range(count):
            yield piece
        yield b"\r\n" + END

    async def consume() -> int:
        total = 0
        async for each in read_parts(request(pieces()), max_bytes=10**9):
            async for block in each.blocks():
                assert len(block) <= BLOCK_BYTES + len(piece)
                total += len(block)
        return total

    tracemalloc.start()
    try:
        assert asyncio.run(consume()) == count * len(piece)
        assert tracemalloc.get_traced_memory()[1] < 6 * BLOCK_BYTES
    finally:
        tracemalloc.stop()
