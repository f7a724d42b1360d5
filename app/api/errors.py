"""One error body for every client: the members of RFC 9457 and OpenAI's ``error`` object side by side."""

import difflib
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, get_args

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.api.security_headers import HEADERS
from app.api.surfaces import Surface, plain_problem, surface_of
from app.errors import InvalidRequest, OutOfSpace, Problem, ServiceError, Unavailable
from app.outage import is_outage
from app.spec.job import JobSpec
from app.study.spec import SweepSpec

log = structlog.get_logger(__name__)

PROBLEM_JSON = "application/problem+json"
MOST_PROBLEMS = 20


class ErrorObject(BaseModel):
    """What the official openai clients read."""

    message: str
    type: str
    param: str | None
    code: str


class ProblemItem(BaseModel):
    message: str
    param: str | None = None
    code: str | None = None
    row: int | None = None


class ProblemDetail(BaseModel):
    """RFC 9457 problem details with OpenAI's ``error`` object. ``errors`` lists every single problem found."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    hint: str | None = None
    errors: list[ProblemItem] = []
    error: ErrorObject


class PlainError(BaseModel):
    """The same on the surfaces of Hugging Face's clients and of text-embeddings-inference."""

    model_config = ConfigDict(extra="allow")

    error: str
    """What is wrong, and what to do."""
    error_type: str | None = None
    """On the surface of text-embeddings-inference: one of its kinds."""
    code: str
    param: str | None


def plain_error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route whose errors are a plain string."""
    return {status: {"description": HTTPStatus(status).phrase, "model": PlainError} for status in statuses}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route: each status with the one error body."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "model": ProblemDetail,
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/ProblemDetail"}}},
        }
        for status in statuses
    }


def problem_body(error: ServiceError, *, instance: str) -> dict[str, Any]:
    """The one error body, of a request for ``instance``."""
    return {
        "type": f"urn:tunery:error:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.message,
        "instance": instance,
        "hint": error.hint,
        "errors": [
            {"message": p.message, "param": p.param, "code": p.code, "row": p.row}
            for p in error.problems[:MOST_PROBLEMS]
        ],
        "error": {
            "message": error.message if error.hint is None else f"{error.message} {error.hint}",
            "type": _openai_type(error.status),
            "param": error.param,
            "code": error.code,
        },
    }


def problem_response(request: Request, error: ServiceError) -> Response:
    headers = {}
    if error.retry_after_seconds is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after_seconds)))
    if error.status == HTTPStatus.CONFLICT:
        headers["x-should-retry"] = "false"  # the openai client would ask twice more
    surface = surface_of(request.method, request.url.path)
    if surface is Surface.NATIVE:
        body = problem_body(error, instance=request.url.path)
        return JSONResponse(body, status_code=error.status, headers=headers, media_type=PROBLEM_JSON)
    status, body = plain_problem(surface, error)
    return JSONResponse(body, status_code=status, headers=headers)


def _openai_type(status: int) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return "authentication_error"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"


def from_validation(errors: Sequence[Any], *, body: type[BaseModel] = JobSpec) -> ServiceError:
    """Pydantic's list of errors as one error that names each parameter, and the nearest known name of a wrong one."""
    problems = tuple(_problem(error, body=body) for error in errors[:MOST_PROBLEMS])
    first = problems[0]
    message = f"{first.param}: {first.message}" if first.param else first.message
    if len(errors) > 1:
        message += f" (and {len(errors) - 1} more)"
    return InvalidRequest(message, param=first.param, code=first.code, problems=problems)


def _problem(error: Any, *, body: type[BaseModel]) -> Problem:
    in_header = error["loc"][:1] == ("header",)
    *above, last = error["loc"] or ("",)
    location = [str(part) for part in above if in_header or not _is_internal(part)]
    if in_header or error["type"] == "extra_forbidden" or not _is_internal(last):
        location.append(str(last))  # what is unknown is named by the caller, whatever it looks like
    if location and location[0] in {"body", "query", "path", "header"}:
        location = location[1:]
    message = str(error["msg"]).removeprefix("Value error, ")
    code = "invalid_value"
    if error["type"] == "extra_forbidden":
        code = "unknown_parameter"
        message = "unknown parameter"
        near = difflib.get_close_matches(location[-1], _known_names(location[:-1], body=body), n=1)
        if near:
            message += f"; did you mean {'.'.join([*location[:-1], near[0]])}?"
    elif error["type"] == "missing":
        code, message = "missing_parameter", "is required"
    elif error["type"] == "json_invalid":
        code, message, location = (
            "invalid_json",
            f"the body is not valid JSON: {error.get('ctx', {}).get('error', '')}",
            [],
        )
    return Problem(message=message, param=".".join(location) or None, code=code)


def _is_internal(part: object) -> bool:
    """Whether a part of a location names a branch of a union rather than a field."""
    return isinstance(part, str) and (
        "[" in part or "-" in part or part in {"str", "int", "float", "bool", "dict", "list"}
    )


def _known_names(path: Iterable[str], *, body: type[BaseModel]) -> list[str]:
    model: Any = body
    for name in path:
        field = getattr(model, "model_fields", {}).get(name)
        if field is None:
            return []
        candidates = [field.annotation, *get_args(field.annotation)]
        model = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
    return list(getattr(model, "model_fields", {}))


def _methods_at(request: Request) -> set[str]:
    """What may be asked at a path; the framework tells it of the first of its routes alone."""
    return {
        method
        for route in iter_route_contexts(request.app.routes)
        for method in route.methods or ()
        if route.path_regex.match(request.url.path)
    }


class _HttpError(ServiceError):
    """An error that Starlette raised itself, such as 404 for a path that does not exist."""

    def __init__(self, error: HTTPException) -> None:
        phrase = HTTPStatus(error.status_code).phrase
        super().__init__(str(error.detail or phrase), code=phrase.lower().replace(" ", "_"))
        self.status = error.status_code  # type: ignore[misc]
        self.title = phrase  # type: ignore[misc]


def _cause_of(error: HTTPException) -> ServiceError:
    """FastAPI hides whatever goes wrong while a JSON body is read behind a 400."""
    cause = error.__cause__
    if isinstance(cause, ServiceError):
        return cause
    if isinstance(cause, RecursionError | ValueError):
        return InvalidRequest(
            "The body cannot be read as JSON: it is malformed or too deeply nested.", code="invalid_json"
        )
    return _HttpError(error)


def from_database(error: DBAPIError | PoolTimeoutError) -> ServiceError:
    text = str(error.orig if isinstance(error, DBAPIError) else error).lower()
    if "disk is full" in text or "no space left" in text:
        return OutOfSpace(
            "The disk of the database is full.", hint="Free some space; nothing that was accepted is lost."
        )
    if "readonly" in text or "read-only" in text:
        return Unavailable("The database cannot be written to: it is read-only.", retry_after_seconds=10)
    return Unavailable("The database cannot be reached just now.", retry_after_seconds=5)


def install_error_handlers(app: FastAPI) -> None:
    """Every way a request can fail ends in the one body."""

    @app.exception_handler(ServiceError)
    async def _service_error(request: Request, error: ServiceError) -> Response:
        return problem_response(request, error)

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> Response:
        body = SweepSpec if request.url.path == "/sweeps" else JobSpec
        return problem_response(request, from_validation(error.errors(), body=body))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        response = problem_response(request, _cause_of(error))
        response.headers.update(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["allow"] = ", ".join(sorted(_methods_at(request)))
        return response

    @app.exception_handler(DBAPIError)
    @app.exception_handler(PoolTimeoutError)
    async def _database(request: Request, error: DBAPIError | PoolTimeoutError) -> Response:
        if not is_outage(error):
            return await _unexpected(request, error)
        log.warning("database error", path=request.url.path, error=str(error))
        return problem_response(request, from_database(error))

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        log.error("unexpected error", path=request.url.path, exc_info=error)
        response = problem_response(
            request, ServiceError("Something went wrong in the service itself.", hint="Its log says more.")
        )
        response.headers.update(HEADERS)  # it is sent from outside of all middleware
        return response
