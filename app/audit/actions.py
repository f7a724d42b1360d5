"""What requests that change something are called in the audit log, by method and route."""

from collections.abc import Mapping
from typing import Final

_NOUNS: Final = {
    "files": "file",
    "jobs": "job",
    "models": "model",
    "sweeps": "sweep",
    "webhooks": "webhook",
    "keys": "key",
    "projects": "project",
    "hub-token": "hub_token",
}
"""By the first part of a path; of OpenAI's ``/v1/files`` and ``/v1/fine_tuning/jobs`` by the second or third."""
_VERBS: Final = {"POST": "create", "PUT": "replace", "PATCH": "change", "DELETE": "delete"}
_ASKING: Final = frozenset({"predict", "completions"})
"""Questions to a model change nothing."""
_OTHERS: Final = {"/predict/batch": "job.create", "/projects/{project_id}": "project.limit"}
_NOT_ACTIONS: Final = frozenset({"v1", "fine_tuning"})


def action_of(method: str, route: str) -> str | None:
    """``job.cancel`` of ``POST /jobs/{job_id}/cancel``; None for what changes nothing."""
    verb = _VERBS.get(method)
    parts = [part for part in route.strip("/").split("/") if part not in _NOT_ACTIONS]
    if verb is None or not parts:
        return None
    if route in _OTHERS:
        return _OTHERS[route]
    named = [part for part in parts if not part.startswith("{")]
    noun = _NOUNS.get(named[0])
    if noun is None or named[-1] in _ASKING:
        return None
    if len(named) > 1:
        return f"{noun}.{'.'.join(named[1:])}"
    if verb == "create" and len(parts) > 1:
        return None  # POST /models/{model_id} asks a model
    return f"{noun}.{verb}"


def object_of(path_params: Mapping[str, object]) -> str | None:
    """The id in a path."""
    return next((str(value) for name, value in path_params.items() if name.endswith("_id")), None)
