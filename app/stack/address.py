"""The address the API listens on: checked, bound before anything is started, and handed on to the API."""

import errno
import ipaddress
import socket
import time
from typing import Final

from app.config import Settings
from app.stack.errors import StartError

PORT_PATIENCE_SECONDS: Final = 5.0
BACKLOG: Final = 2048


def check_exposure(settings: Settings) -> None:
    """Raises StartError when others could reach a service that asks for no key."""
    if settings.first_api_key is None and not _is_loopback(settings.host) and not _has_keys():
        raise StartError(
            f"{settings.host} can be reached from other machines, and there is no API key",
            hint="make one with tunery keys create NAME, set TUNERY_FIRST_API_KEY, or listen on 127.0.0.1",
        )


def _has_keys() -> bool:
    from app.stack.schema import has_keys  # noqa: PLC0415  SQLAlchemy takes half a second

    return has_keys()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise StartError(
            f"there is no address called {host!r}", hint="give --host an address of this machine"
        ) from error
    return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)


def listen(host: str, port: int, *, patient: bool) -> socket.socket:
    """A listening socket; port 0 picks a free one. Raises StartError when the port is taken.

    ``patient`` waits some seconds for a former owner that was killed to let go.
    """
    deadline = time.monotonic() + (PORT_PATIENCE_SECONDS if patient else 0)
    while True:
        try:
            return _bind(host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.2)
                continue
            if error.errno == errno.EADDRINUSE:
                raise StartError(
                    f"port {port} of {host} is in use by another program",
                    hint="choose another with --port, or --port 0 for any free one",
                ) from error
            raise StartError(
                f"cannot listen on {host}:{port}: {error.strerror}", hint="check --host and --port"
            ) from error


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def reachable_host(host: str) -> str:
    """The host to call a server by that listens on ``host``: a wildcard is no address to call."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104  names, nothing is bound


def url_of(host: str, port: int) -> str:
    name = reachable_host(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
