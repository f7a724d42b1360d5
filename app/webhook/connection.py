"""One POST to an address that was checked, within one deadline. No redirect is followed, no proxy asked, no answer's body read."""

import ssl
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import httpcore2

from app.webhook.addresses import AddressRules, resolve


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds. Raises TimeoutError if there are none."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("there was no answer in time")
        return left


class _Stream(httpcore2.NetworkStream):
    """A connection whose every wait ends with the deadline, however many there are."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: _Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, timeout=self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, timeout=self._deadline.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, timeout=self._deadline.left())
        return _Stream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _CheckedBackend(httpcore2.NetworkBackend):
    """Looks a name up once, and connects to what was checked: a second look-up might say something else."""

    def __init__(self, rules: AddressRules, deadline: _Deadline) -> None:
        self._rules, self._deadline = rules, deadline
        self._backend = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        addresses = resolve(host, port, rules=self._rules)
        for number, address in enumerate(addresses, start=1):
            try:
                stream = self._backend.connect_tcp(
                    str(address), port, self._deadline.left(), local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if number == len(addresses):
                    raise
            else:
                return _Stream(stream, self._deadline)
        raise httpcore2.ConnectError("the name has no address")


def post(
    url: str, content: bytes, *, headers: Sequence[tuple[str, str]], rules: AddressRules, timeout_seconds: float
) -> int:
    """The status of the answer. Raises AddressRefusedError, OSError, and httpcore2's errors of the network and of HTTP."""
    deadline = _Deadline(timeout_seconds)
    with (
        httpcore2.ConnectionPool(ssl_context=_tls(), network_backend=_CheckedBackend(rules, deadline)) as pool,
        pool.stream("POST", url, headers=list(headers), content=content) as response,
    ):
        return response.status


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Reading the certificates of all authorities takes longer than a request."""
    return httpcore2.default_ssl_context()
