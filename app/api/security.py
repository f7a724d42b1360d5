"""Who may call. With a key configured every route but the open ones asks for it; without one, only this machine may.

Without a key a web page in the user's browser must not reach the service behind their back: the ``Host`` must be a
loopback name (DNS rebinding), the ``Origin`` of a browser must be our own, and a form post is refused by the routes,
which take JSON and (with an ``Origin`` that fits) multipart alone.
"""

import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import problem_response
from app.config import Settings
from app.errors import Forbidden, InvalidRequest, ServiceError, TooLarge, Unauthorized

OPEN_PREFIXES = ("/health/", "/dashboard/")
OPEN_PATHS = ("/",)
"""The dashboard's page, which asks the user for the key."""
BODY_TYPES = ("application/json", "multipart/form-data")
STREAMED = "multipart/form-data"
UPLOAD_PATHS = ("/files", "/models", "/v1/files")
"""Where multipart bodies are taken, in pieces; elsewhere they would be read whole."""


class SecurityMiddleware:
    """Checks each request before any route sees it; see the module."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.key = settings.first_api_key.get_secret_value().encode() if settings.first_api_key else None
        self.hosts = {"localhost", *settings.allowed_hosts}
        self.max_body_bytes = settings.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except ServiceError as error:
            await problem_response(Request(scope), error)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if self.key is None:
            self._check_origin(headers)
        elif scope["path"] not in OPEN_PATHS and not scope["path"].startswith(OPEN_PREFIXES):
            self._check_key(headers)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        length = headers.get("content-length", "0")
        has_body = length != "0" or "transfer-encoding" in headers
        takes_files = scope["path"] in UPLOAD_PATHS
        if (
            scope["method"] in {"POST", "PUT", "PATCH"}
            and has_body
            and kind not in (BODY_TYPES if takes_files else BODY_TYPES[:1])
        ):
            raise InvalidRequest(
                f"The body's content type is {kind or 'missing'!r}.",
                code="unsupported_content_type",
                hint="Send application/json, or multipart/form-data for files."
                if takes_files
                else "Send application/json.",
            )
        if kind != STREAMED and (not length.isdecimal() or int(length) > self.max_body_bytes):
            raise TooLarge(f"The body is larger than {self.max_body_bytes} bytes.", code="body_too_large")

    def _check_key(self, headers: Headers) -> None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise Unauthorized(
                "This server asks for an API key.",
                hint="Send the header 'Authorization: Bearer KEY'.",
                code="missing_api_key",
            )
        assert self.key is not None
        if not hmac.compare_digest(given.strip().encode(), self.key):
            raise Unauthorized("The API key is not valid.", code="invalid_api_key")

    def _check_origin(self, headers: Headers) -> None:
        host = _host_of(f"//{headers.get('host', '')}")
        if not self._is_local(host):
            raise Forbidden(
                f"Without an API key this server answers only to local names, not to {host!r}.",
                code="host_not_allowed",
                hint="Set TUNERY_ALLOWED_HOSTS, or TUNERY_FIRST_API_KEY.",
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_local(_host_of(origin)):
            raise Forbidden(f"Requests from pages of {origin!r} are not allowed.", code="origin_not_allowed")

    def _is_local(self, host: str) -> bool:
        if host in self.hosts:
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


def _host_of(url: str) -> str:
    """The host of a URL in small letters; empty, which is no local name, if it has none or is malformed."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
