"""Who may call, and for which project. Once there is a key all but the open routes ask for one; without, only this machine may.

Without a key a web page in the user's browser must not reach the service behind their back: the ``Host`` must be a
loopback name (DNS rebinding), the ``Origin`` of a browser must be our own, and a form post is refused by the routes,
which take JSON and (with an ``Origin`` that fits) multipart alone.
"""

import functools
import ipaddress
from urllib.parse import urlsplit

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app import caller
from app.api.errors import from_database, problem_response
from app.api.key_ring import WITHOUT_KEY, KeyRing
from app.caller import Caller
from app.config import Settings
from app.errors import Forbidden, InvalidRequest, ServiceError, TooLarge, Unauthorized

OPEN_PREFIXES = ("/health/", "/dashboard/")
OPEN_PATHS = ("/",)
"""The dashboard's page, which asks the user for the key."""
NOBODY = Caller(project_id="")
"""Who asks without having to show a key: there is nothing that belongs to them."""
CALLER = "tunery.caller"
"""Under which a request's scope tells who asks, to what is outside of this middleware; not there of one that was turned away."""
BODY_TYPES = ("application/json", "multipart/form-data")
STREAMED = "multipart/form-data"
UPLOAD_PATHS = ("/files", "/models", "/v1/files")
"""Where multipart bodies are taken, in pieces; elsewhere they would be read whole."""


class SecurityMiddleware:
    """Checks each request before any route sees it; see the module."""

    def __init__(self, app: ASGIApp, settings: Settings, keys: KeyRing) -> None:
        self.app = app
        self.keys = keys
        self.hosts = {"localhost", *settings.allowed_hosts}
        self.max_body_bytes = settings.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            who = await self._who(scope["path"], headers)
            scope[CALLER] = who  # also of what is refused from here on, or fails
            self._check_body(scope, headers)
        except ServiceError as error:
            await problem_response(Request(scope), error)(scope, receive, send)
            return
        except (DBAPIError, PoolTimeoutError) as error:
            await problem_response(Request(scope), from_database(error))(scope, receive, send)
            return
        with caller.acting_for(who):
            await self.app(scope, receive, send)

    async def _who(self, path: str, headers: Headers) -> Caller:
        """Raises Unauthorized or Forbidden."""
        is_open = path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)
        stranger = self._stranger(headers)
        if is_open and stranger is None:
            return NOBODY  # with keys or without: the database, which may be away, need not be asked
        if await self.keys.asks():
            return NOBODY if is_open else await self.keys.caller_of(_key_in(headers))
        if stranger is not None:
            raise stranger
        return WITHOUT_KEY

    def _check_body(self, scope: Scope, headers: Headers) -> None:
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

    def _stranger(self, headers: Headers) -> Forbidden | None:
        """Why the request is not one of this machine's own."""
        host = _host_of(f"//{headers.get('host', '')}")
        if not self._is_local(host):
            return Forbidden(
                f"Without an API key this server answers only to local names, not to {host!r}.",
                code="host_not_allowed",
                hint="Set TUNERY_ALLOWED_HOSTS, or make a key with tunery keys create.",
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_local(_host_of(origin)):
            return Forbidden(f"Requests from pages of {origin!r} are not allowed.", code="origin_not_allowed")
        return None

    def _is_local(self, host: str) -> bool:
        return host in self.hosts or _is_loopback(host)


@functools.lru_cache(maxsize=256)
def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _key_in(headers: Headers) -> str:
    """Raises Unauthorized if there is none."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not given.strip():
        raise Unauthorized(
            "This server asks for an API key.",
            hint="Send the header 'Authorization: Bearer KEY'.",
            code="missing_api_key",
        )
    return given.strip()


def _host_of(url: str) -> str:
    """The host of a URL in small letters; empty, which is no local name, if it has none or is malformed."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
