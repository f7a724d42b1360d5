"""What ``/openapi.json`` says of every route alike: the key, and the refusals that come before a route is asked."""

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI

from app.api.errors import PROBLEM_JSON, PlainError, ProblemDetail
from app.api.scopes import OPEN
from app.api.surfaces import Surface, surface_of

_SCHEME: Final = "key"
_KEY: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "Asked for once there is a key. Without one the service answers this machine alone.",
}
_METHODS: Final = frozenset({"get", "put", "post", "delete", "patch"})


def complete_description(app: FastAPI) -> None:
    """Have ``app.openapi()`` tell it; routes say themselves what only they refuse."""
    of_the_routes = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(of_the_routes())
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(schema: dict[str, Any]) -> None:
    schema["components"].setdefault("securitySchemes", {})[_SCHEME] = _KEY
    for path, operations in schema["paths"].items():
        for method in operations.keys() & _METHODS:
            operation = operations[method]
            statuses = [HTTPStatus.FORBIDDEN]  # the host, the origin, or the scope
            if path not in OPEN:
                operation["security"] = [{_SCHEME: []}]
                statuses += [HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE]  # keys are rows of the database
            if "requestBody" in operation:
                statuses += [HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY]
            is_native = surface_of(method.upper(), path) is Surface.NATIVE
            for status in statuses:
                operation["responses"].setdefault(str(status.value), _refusal(status, is_native=is_native))
            _leave_one_kind_of_error(operation["responses"])


def _refusal(status: HTTPStatus, *, is_native: bool) -> dict[str, Any]:
    kind, model = (PROBLEM_JSON, ProblemDetail) if is_native else ("application/json", PlainError)
    content = {kind: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
    return {"description": status.phrase, "content": content}


def _leave_one_kind_of_error(responses: dict[str, Any]) -> None:
    """FastAPI tells of each model that it may also come as what the route answers with; errors never do."""
    for response in responses.values():
        content = response.get("content", {})
        if PROBLEM_JSON in content:
            response["content"] = {PROBLEM_JSON: content[PROBLEM_JSON]}
