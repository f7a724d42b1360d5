"""Where the server is, and with which key it is asked."""

import ipaddress
import os
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from app.client.errors import InvalidAddress

DEFAULT_URL: Final = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Address:
    url: str
    """Without a slash at its end."""
    api_key: str | None
    is_local: bool
    """On this machine, which no proxy can reach."""


def find_address(url: str | None = None, *, api_key: str | None = None) -> Address:
    """What was given, else ``TUNERY_URL`` and ``TUNERY_API_KEY``, else this machine's port 8000. Raises InvalidAddress."""
    found = (url or os.environ.get("TUNERY_URL") or DEFAULT_URL).rstrip("/")
    parts = urlsplit(found)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidAddress(f"TUNERY_URL is {found!r}, which is no address", hint=f"write it like {DEFAULT_URL}")
    return Address(
        url=found,
        api_key=api_key or os.environ.get("TUNERY_API_KEY") or None,
        is_local=_is_loopback(parts.hostname),
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def segment(identifier: str) -> str:
    """An id as part of a path: model ids hold ``:`` and may hold ``/``."""
    return quote(identifier, safe="")
