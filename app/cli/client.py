"""One HTTP client for all commands: the server's address and key, and its errors in words."""

import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from app.cli.errors import CliError, from_problem

if TYPE_CHECKING:
    import httpx2

DEFAULT_URL: Final = "http://127.0.0.1:8000"
REFUSED: Final = "connection_refused"
"""Code of the error when nobody listens at the address."""
TIMEOUT_SECONDS: Final = 30.0
UPLOAD_TIMEOUT_SECONDS: Final = 900.0
"""A file is checked while it is received, and a model hashed: the answer may take its time."""


class Client:
    """Talks to the server at ``url`` (``TUNERY_URL``). Every method raises CliError with the server's explanation."""

    def __init__(self, url: str | None = None) -> None:
        self.url = (url or os.environ.get("TUNERY_URL") or DEFAULT_URL).rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise CliError(f"TUNERY_URL is {self.url!r}, which is no address", hint=f"write it like {DEFAULT_URL}")
        self._is_local = _is_loopback(parts.hostname)
        self._client: httpx2.Client | None = None

    def get(self, path: str, **params: Any) -> Any:
        return self._json("GET", path, params={name: value for name, value in params.items() if value is not None})

    def post(self, path: str, body: Any = None, **params: Any) -> Any:
        return self._json("POST", path, params=params, **({} if body is None else {"json": body}))

    def delete(self, path: str) -> Any:
        return self._json("DELETE", path)

    def upload(self, path: str, *, fields: dict[str, str], files: list[tuple[str, tuple[str, Any, str]]]) -> Any:
        """A multipart form, streamed from open files: ``(part name, (file name, file, content type))``."""
        return self._json("POST", path, data=fields, files=files, timeout=UPLOAD_TIMEOUT_SECONDS)

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        body: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> Iterator["httpx2.Response"]:
        """A response whose body is read as it comes; ``timeout`` is the longest silence. With a ``body`` it is posted."""
        method, content = ("GET", {}) if body is None else ("POST", {"json": body})
        with (
            self._explaining(),
            self._http().stream(method, path, headers=headers, timeout=timeout, **content) as response,
        ):
            if response.status_code >= 400:
                response.read()
                raise _error_of(response)
            yield response

    def answers(self) -> bool:
        """Whether a Tunery is there and ready."""
        import httpx2  # noqa: PLC0415

        try:
            response = self._http().get("/health/ready", timeout=5)
        except httpx2.HTTPError:
            return False
        return response.status_code == 200 and "parts" in response.text

    def _json(self, method: str, path: str, **options: Any) -> Any:
        with self._explaining():
            response = self._http().request(method, path, **options)
            if response.status_code >= 400:
                raise _error_of(response)
            try:
                return response.json() if response.content else None
            except ValueError as error:
                raise CliError(
                    f"{self.url} does not answer like Tunery does", hint="check TUNERY_URL", code="not_tunery"
                ) from error

    def _http(self) -> "httpx2.Client":
        if self._client is None:
            import httpx2  # noqa: PLC0415  a tenth of a second that --help need not wait

            key = os.environ.get("TUNERY_API_KEY")
            self._client = httpx2.Client(
                base_url=self.url,
                headers={"authorization": f"Bearer {key}"} if key else {},
                timeout=TIMEOUT_SECONDS,
                trust_env=not self._is_local,  # a proxy cannot reach this machine's own address
            )
        return self._client

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        import httpx2  # noqa: PLC0415

        try:
            yield
        except httpx2.ConnectError as error:
            raise CliError(
                f"No server answers at {self.url}.",
                hint="Start one with `tunery up`, or set TUNERY_URL to where it is.",
                code=REFUSED,
            ) from error
        except httpx2.TimeoutException as error:
            raise CliError(
                f"The server at {self.url} did not answer in time.", hint="Try again.", code="timeout"
            ) from error
        except httpx2.HTTPError as error:
            raise CliError(f"The connection to {self.url} broke: {error}", hint="Try again.", code="broken") from error


def _error_of(response: "httpx2.Response") -> CliError:
    try:
        document = response.json()
    except ValueError:
        document = None
    error = from_problem(response.status_code, document)
    if response.status_code == 401:
        error.hint = "Set TUNERY_API_KEY to a key of this server."
    return error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def segment(identifier: str) -> str:
    """An id as part of a path: model ids hold ``:`` and may hold ``/``."""
    return quote(identifier, safe="")
