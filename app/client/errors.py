"""What a caller of the client can catch. Every error is a ``TuneryError``; those of the server are an ``APIError`` by status."""

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One of several things wrong with a request."""

    message: str
    param: str | None = None
    code: str | None = None
    row: int | None = None
    """1-based row of a data file."""


class TuneryError(Exception):
    """Base of all errors. ``message`` says what is wrong, ``param`` where, ``hint`` what to do, ``code`` which error it is."""

    code: str = "error"

    def __init__(  # noqa: PLR0913  all that an error can tell
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        hint: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        problems: tuple[Problem, ...] = (),
        retry_after_seconds: float | None = None,
        document: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.param = param
        self.hint = hint
        self.status = status
        """HTTP status, if the server answered."""
        self.request_id = request_id
        """Under which the server's log has the request."""
        self.problems = problems
        self.retry_after_seconds = retry_after_seconds
        self.document = document
        """The server's own words (RFC 9457), or None if these are the client's."""

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message} {self.hint}"


class InvalidAddress(TuneryError):
    """What was given as the server's URL is none."""

    code = "invalid_address"


class ConnectionFailed(TuneryError):
    """The server did not answer; whether it did what it was asked is not known, but where nobody listens."""

    code = "broken"


class ConnectionRefused(ConnectionFailed):
    """Nobody listens at the address, so nothing was done."""

    code = "connection_refused"


class ConnectionTimedOut(ConnectionFailed):
    """The answer did not come in time."""

    code = "timeout"


class NotTunery(TuneryError):
    """Somebody else answers at the address."""

    code = "not_tunery"


class APIError(TuneryError):
    """The server answered with an error; ``code`` is one of docs/errors.md."""

    code = "http_error"


class InvalidRequest(APIError):
    """400, 413, 422: not understood, too large, or not allowed as it stands. ``problems`` names every place."""


class Unauthorized(APIError):
    """401: no key, or a wrong one."""


class Forbidden(APIError):
    """403: the key may not do this."""


class NotFound(APIError):
    """404."""


class Conflict(APIError):
    """409: not as things stand, such as pausing a job that is over."""


class RateLimited(APIError):
    """429: too much is waiting already; ``retry_after_seconds`` says when to ask again."""


class ServerError(APIError):
    """5xx: the server's fault."""


class Unavailable(ServerError):
    """503: not just now."""


class BrokenOff(TuneryError):
    """A stream ended in the middle."""

    code = "broken"


class WaitedTooLong(TuneryError):
    """A job has not ended in the time that was given."""

    code = "timeout"


class JobDidNotSucceed(TuneryError):
    """A job that was waited for has failed or was cancelled; ``job`` is how it ended."""

    code = "job_did_not_succeed"

    def __init__(self, message: str, *, job: Any, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, code=code, hint=hint)
        self.job = job


class LocalFileError(TuneryError):
    """A file or folder on this machine is missing, cannot be read or written, or is not what is needed."""

    code = "local_file"


_OF_STATUS: Final[dict[int, type[APIError]]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
    503: Unavailable,
}


def from_problem(
    status: int, document: Any, *, request_id: str | None = None, retry_after_seconds: float | None = None
) -> APIError:
    """The server's problem document (RFC 9457) as an error; anything else, such as a proxy's page, as an error of that status."""
    kind = _OF_STATUS.get(status, ServerError if status >= 500 else APIError)
    if not isinstance(document, dict) or "detail" not in document:
        return kind(
            f"The server answered with status {status}.",
            hint="That is not how Tunery says it: look at TUNERY_URL, and at proxies on the way.",
            status=status,
            request_id=request_id,
            retry_after_seconds=retry_after_seconds,
        )
    error = document.get("error")
    error = error if isinstance(error, dict) else {}
    return kind(
        str(document["detail"]),
        code=error.get("code"),
        param=error.get("param"),
        hint=document.get("hint"),
        status=status,
        request_id=request_id,
        problems=tuple(_problem(item) for item in document.get("errors") or [] if isinstance(item, dict)),
        retry_after_seconds=retry_after_seconds,
        document=document,
    )


def _problem(item: dict[str, Any]) -> Problem:
    return Problem(
        message=str(item.get("message")), param=item.get("param"), code=item.get("code"), row=item.get("row")
    )
