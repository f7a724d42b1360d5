"""What the command line tells a user who cannot get what they asked for."""

from dataclasses import dataclass
from typing import Any


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


def from_problem(status: int, document: Any) -> CliError:
    """The server's problem document (RFC 9457) as an error."""
    if not isinstance(document, dict) or "detail" not in document:
        return CliError(f"The server answered with status {status}.", code="http_error", status=status)
    error = document.get("error")
    error = error if isinstance(error, dict) else {}
    items = [item for item in document.get("errors") or [] if isinstance(item, dict)]
    where = tuple(_place(item) for item in items)
    message = str(document["detail"])
    if not where and error.get("param"):
        where = (f"in {error['param']}",)
    if len(where) == 1 and items and str(items[0].get("message")) in message:
        where = tuple(place for place in (_name(items[0]),) if place and place not in message)
    return CliError(
        message,
        where=where,
        hint=document.get("hint"),
        code=str(error.get("code") or "http_error"),
        status=status,
        document=document,
    )


def _place(item: dict[str, Any]) -> str:
    name = _name(item)
    return f"{name}: {item.get('message')}" if name else str(item.get("message"))


def _name(item: dict[str, Any]) -> str:
    param, row = item.get("param"), item.get("row")
    return ", ".join(part for part in (str(param) if param else "", f"row {row}" if row else "") if part)
