"""What can go wrong in a way a user should read: one class each, with its HTTP status and its code.

The text of an error says what is wrong, where (``param``: a field, a file, a row), and what to do (``hint``).
"""

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One of several things wrong with a request."""

    message: str
    param: str | None = None
    code: str | None = None
    row: int | None = None
    """1-based row of a data file, where there is one."""


class ServiceError(Exception):
    """Base of all errors that are told to the user. Subclasses set ``status``, ``code`` and ``title``."""

    status: ClassVar[int] = 500
    code: str = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        hint: str | None = None,
        problems: tuple[Problem, ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or type(self).code
        self.hint = hint
        self.problems = problems
        self.retry_after_seconds = retry_after_seconds

    def as_job_error(self) -> dict[str, Any]:
        """The ``error`` member of a failed job."""
        return {"code": self.code, "message": self.message, "param": self.param, "hint": self.hint}


class InvalidRequest(ServiceError):
    """The request cannot be understood or is not allowed as it stands."""

    status, code, title = 422, "invalid_request", "Invalid request"


class EmptyRequest(ServiceError):
    """There is nothing in the request to answer."""

    status, code, title = 400, "empty_inputs", "Empty request"


class InvalidData(ServiceError):
    """A data file or data set is not fit for training; ``param`` or ``problems`` name the row."""

    status, code, title = 422, "invalid_data", "Invalid data"


class InvalidModel(ServiceError):
    """The model cannot be used: unknown, gated, not made for the task, or unsafe to load."""

    status, code, title = 422, "invalid_model", "Invalid model"


class Unauthorized(ServiceError):
    """No API key was given, or it is not a valid one."""

    status, code, title = 401, "unauthorized", "Unauthorized"


class Forbidden(ServiceError):
    """The request may not be made from there."""

    status, code, title = 403, "forbidden", "Forbidden"


class NotFound(ServiceError):
    """There is no such thing."""

    status, code, title = 404, "not_found", "Not found"


class Conflict(ServiceError):
    """The thing is in a state that does not allow this. Asking again does not help."""

    status, code, title = 409, "conflict", "Conflict"


class TooLarge(ServiceError):
    """The body, file, line or list is larger than allowed."""

    status, code, title = 413, "too_large", "Too large"


class TooManyRequests(ServiceError):
    """A queue is full or a quota is used up; try again later."""

    status, code, title = 429, "too_many_requests", "Too many requests"


class Unavailable(ServiceError):
    """A part of the service cannot be reached just now; try again."""

    status, code, title = 503, "unavailable", "Service unavailable"


class OutOfSpace(ServiceError):
    """The disk is full."""

    status, code, title = 507, "out_of_space", "Out of disk space"
