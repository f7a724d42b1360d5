"""What the command line tells a user who cannot get what they asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from app.client import errors
from app.client.errors import Problem, TuneryError

_LISTED_BY: Final = {
    "job_not_found": "tunery jobs ls",
    "model_not_found": "tunery models ls",
    "file_not_found": "tunery files ls",
}


@dataclass
class CliError(Exception):
    """``message`` says what is wrong, ``where`` names the places (parameters, rows), ``hint`` what to do."""

    message: str
    where: tuple[str, ...] = ()
    hint: str | None = None
    code: str = "error"
    status: int | None = None
    """HTTP status, if the server said so."""
    document: dict[str, Any] | None = None
    """The server's own words."""

    def as_document(self) -> dict[str, Any]:
        """For ``--json``: the server's document, or one of the same shape."""
        if self.document is not None:
            return self.document
        return {"detail": self.message, "hint": self.hint, "error": {"message": self.message, "code": self.code}}


@contextmanager
def in_words() -> Iterator[None]:
    """Raises CliError in the place of the client's errors."""
    try:
        yield
    except TuneryError as error:
        raise from_client(error) from error


def from_problem(status: int, document: Any) -> CliError:
    """The server's problem document (RFC 9457) as an error."""
    return from_client(errors.from_problem(status, document))


def from_client(error: TuneryError) -> CliError:
    where = tuple(_place(problem) for problem in error.problems)
    if not where and error.param:
        where = (f"in {error.param}",)
    if len(where) == 1 and error.problems and error.problems[0].message in error.message:
        where = tuple(place for place in (_name(error.problems[0]),) if place and place not in error.message)
    if error.status is not None and error.status >= 500 and error.request_id:
        where += (f"request {error.request_id}, of which the server's log says more",)
    hint = error.hint
    if error.status == 404 and hint is None and error.code in _LISTED_BY:
        hint = f"See what there is: {_LISTED_BY[error.code]}"
    return CliError(
        error.message,
        where=(*getattr(error, "__notes__", ()), *where),
        hint=hint,
        code=error.code,
        status=error.status,
        document=error.document,
    )


def _place(problem: Problem) -> str:
    name = _name(problem)
    return f"{name}: {problem.message}" if name else problem.message


def _name(problem: Problem) -> str:
    return ", ".join(
        part for part in (problem.param or "", "" if problem.row is None else f"row {problem.row}") if part
    )
