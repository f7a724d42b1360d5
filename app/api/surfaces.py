"""One error, told as the clients of each surface read it.

What is asked below ``/models/{id}`` is asked by Hugging Face's clients and by those of text-embeddings-inference: both read
``error`` as a plain string, the latter an ``error_type`` with statuses of its own beside it.
"""

from enum import StrEnum, auto
from http import HTTPStatus
from typing import Any, Final

from app.errors import ServiceError

_MODELS: Final = "/models/"
_EXPORT: Final = "/export"
"""Makes a job, which only our own clients know."""
_OF_THE_BACKEND: Final = frozenset({"prediction_failed", "model_does_not_classify"})


class Surface(StrEnum):
    NATIVE = auto()
    """Our own, with ``application/problem+json`` and OpenAI's ``error`` object."""
    HUGGING_FACE = auto()
    TEI = auto()
    """text-embeddings-inference."""


def surface_of(method: str, path: str) -> Surface:
    """Which clients call that; known before any route is, because requests may be refused before."""
    if method == "POST" and path.startswith(_MODELS) and not path.endswith(_EXPORT):
        return Surface.TEI if path.endswith("/predict") else Surface.HUGGING_FACE
    if method == "GET" and path.startswith(_MODELS) and path.endswith(("/info", "/health")):
        return Surface.HUGGING_FACE
    return Surface.NATIVE


def plain_text(error: ServiceError) -> str:
    """What is wrong, and what to do."""
    return error.message if error.hint is None else f"{error.message} {error.hint}"


def plain_problem(surface: Surface, error: ServiceError) -> tuple[int, dict[str, Any]]:
    """Status and body on a surface whose ``error`` is a string. There is little else: Hugging Face's client prints it all."""
    told = {"error": plain_text(error), "code": error.code, "param": error.param}
    if surface is not Surface.TEI:
        return error.status, told
    error_type, status = _as_tei_says(error)
    return status, {"error": told["error"], "error_type": error_type} | told


def _as_tei_says(error: ServiceError) -> tuple[str, int]:
    """Its kinds of errors and their statuses; those of ours that it does not know keep theirs."""
    if error.code in _OF_THE_BACKEND:
        return "Backend", HTTPStatus.FAILED_DEPENDENCY
    match error.status:
        case HTTPStatus.BAD_REQUEST:
            return "Empty", error.status
        case HTTPStatus.TOO_MANY_REQUESTS:
            return "Overloaded", error.status
        case HTTPStatus.INTERNAL_SERVER_ERROR:
            return "Backend", error.status
        case status:
            return ("Validation" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "Unhealthy"), status
