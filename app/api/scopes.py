"""Which scope each route asks of a key. A route that is not told here is for admins alone."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from app import caller
from app.api import rates
from app.errors import Forbidden
from app.key.scopes import Scope

_READ: Final = frozenset({Scope.READ})
_WRITE: Final = frozenset({Scope.WRITE})
_PREDICT: Final = frozenset({Scope.PREDICT})
_LOOK_AT_MODELS: Final = frozenset({Scope.READ, Scope.PREDICT})
_ADMIN: Final = frozenset({Scope.ADMIN})
_ANY_KEY: Final = frozenset(Scope)
"""Nothing of a project is told."""

OPEN: Final = frozenset(
    {
        "/",
        "/dashboard/assets/{name:path}",
        "/dashboard/plotly.min.js",
        "/health/live",
        "/health/ready",
    }
)
"""Asked for without a key: nothing of anybody is told there. The dashboard's page asks the user for the key."""

SCOPES: Final[Mapping[str, frozenset[Scope]]] = {
    "GET /docs": _ANY_KEY,
    "GET /docs/assets/{name}": _ANY_KEY,
    "GET /openapi.json": _ANY_KEY,
    "GET /keys/me": _ANY_KEY,
    "POST /keys": _ADMIN,
    "GET /keys": _ADMIN,
    "DELETE /keys/{key_id}": _ADMIN,
    "POST /projects": _ADMIN,
    "GET /projects": _ADMIN,
    "POST /projects/{project_id}": _ADMIN,
    "GET /metrics": frozenset({Scope.METRICS}),
    "GET /audit": _ADMIN,
    "POST /files": _WRITE,
    "GET /files": _READ,
    "GET /files/{file_id}": _READ,
    "GET /files/{file_id}/content": _READ,
    "DELETE /files/{file_id}": _WRITE,
    "POST /jobs": _WRITE,
    "GET /jobs": _READ,
    "GET /jobs/{job_id}": _READ,
    "GET /jobs/{job_id}/events": _READ,
    "GET /jobs/{job_id}/metrics": _READ,
    "GET /jobs/{job_id}/checkpoints": _READ,
    "GET /jobs/{job_id}/mistakes": _READ,
    "GET /jobs/{job_id}/logs": _READ,
    "DELETE /jobs/{job_id}": _WRITE,
    "POST /jobs/{job_id}/cancel": _WRITE,
    "POST /jobs/{job_id}/pause": _WRITE,
    "POST /jobs/{job_id}/resume": _WRITE,
    "POST /jobs/{job_id}/stop": _WRITE,
    "POST /jobs/{job_id}/retry": _WRITE,
    "POST /sweeps": _WRITE,
    "GET /sweeps": _READ,
    "GET /sweeps/{sweep_id}": _READ,
    "GET /sweeps/{sweep_id}/trials": _READ,
    "DELETE /sweeps/{sweep_id}": _WRITE,
    "POST /sweeps/{sweep_id}/cancel": _WRITE,
    "POST /models": _WRITE,
    "GET /models": _LOOK_AT_MODELS,
    "GET /models/{model_id:path}": _LOOK_AT_MODELS,
    "DELETE /models/{model_id:path}": _WRITE,
    "GET /models/{model_id:path}/download": _READ,
    "POST /models/{model_id:path}/export": _WRITE,
    "GET /models/{model_id:path}/info": _LOOK_AT_MODELS,
    "GET /models/{model_id:path}/health": _LOOK_AT_MODELS,
    "POST /models/{model_id:path}": _PREDICT,
    "POST /models/{model_id:path}/predict": _PREDICT,
    "POST /models/{model_id:path}/v1/chat/completions": _PREDICT,
    "POST /predict": _PREDICT,
    "POST /predict/batch": _WRITE,
    "POST /v1/files": _WRITE,
    "GET /v1/files": _READ,
    "GET /v1/files/{file_id}": _READ,
    "GET /v1/files/{file_id}/content": _READ,
    "DELETE /v1/files/{file_id}": _WRITE,
    "POST /v1/fine_tuning/jobs": _WRITE,
    "GET /v1/fine_tuning/jobs": _READ,
    "GET /v1/fine_tuning/jobs/{job_id}": _READ,
    "POST /v1/fine_tuning/jobs/{job_id}/cancel": _WRITE,
    "POST /v1/fine_tuning/jobs/{job_id}/pause": _WRITE,
    "POST /v1/fine_tuning/jobs/{job_id}/resume": _WRITE,
    "GET /v1/fine_tuning/jobs/{job_id}/events": _READ,
    "GET /v1/fine_tuning/jobs/{job_id}/checkpoints": _READ,
    "GET /v1/models": _LOOK_AT_MODELS,
    "GET /v1/models/{model_id:path}": _LOOK_AT_MODELS,
    "DELETE /v1/models/{model_id:path}": _WRITE,
    "POST /v1/chat/completions": _PREDICT,
    "POST /webhooks": _WRITE,
    "GET /webhooks": _READ,
    "DELETE /webhooks/{webhook_id}": _WRITE,
    "GET /workers": _READ,
    "PUT /hub-token": _WRITE,
    "GET /hub-token": _READ,
    "DELETE /hub-token": _WRITE,
}
"""By method and path: a key needs one of these, or ``admin``, which is enough everywhere."""


def asked_for(method: str, path: str) -> frozenset[Scope]:
    return SCOPES.get(f"{'GET' if method == 'HEAD' else method} {path}", _ADMIN)


def guard(routes: Sequence[BaseRoute]) -> None:
    """Let each of these routes, mounts included, ask for its scope before anything of it runs. Again is no error."""
    for context in iter_route_contexts(routes):
        route: Any = context.original_route
        if context.path not in OPEN and not isinstance(route.handle, _Guarded):
            route.handle = _Guarded(route.handle, path=context.path or "", methods=context.methods)


class _Guarded:
    """What a route does, for those whose key has the scope. Raises Forbidden for others."""

    def __init__(self, handle: ASGIApp, *, path: str, methods: Collection[str] | None) -> None:
        self._handle = handle
        self._path = path
        self._methods = methods

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        method = str(connection.get("method", ""))
        if not self._methods or method in self._methods:  # else the route says so itself
            who = caller.current()
            needed = asked_for(method, self._path)
            if who is None or not who.scopes & (needed | _ADMIN):
                raise Forbidden(
                    f"The API key is not for that: it needs the scope {' or '.join(sorted(needed))}.",
                    code="scope_missing",
                    hint="Ask an admin of this server for a key with that scope.",
                )
            if needed == _PREDICT:
                await rates.take_prediction(who)
        await self._handle(connection, receive, send)
