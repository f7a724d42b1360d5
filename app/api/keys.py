"""API keys and projects: what admins make, list and revoke; and what key one has."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, Request, status

from app import caller
from app.api.errors import error_responses
from app.key import projects, service
from app.key.schemas import CallerOut, CreatedKey, KeyList, KeyOut, Limits, NewKey, NewProject, ProjectList, ProjectOut

router = APIRouter(tags=["keys"])


@router.post(
    "/keys",
    summary="Make a key",
    status_code=status.HTTP_201_CREATED,
    responses=error_responses(401, 403, 413, 422, 503),
)
def create_key(key: Annotated[NewKey, Body()], request: Request) -> CreatedKey:
    """The answer holds the key, which is told this once."""
    made = service.create(key)
    request.app.state.key_ring.forget()
    return made


@router.get("/keys", summary="List all keys, newest first", responses=error_responses(401, 403, 503))
def list_keys() -> KeyList:
    return service.list_keys()


@router.get("/keys/me", summary="Which key this is", responses=error_responses(401, 403, 503))
def get_caller() -> CallerOut:
    who = caller.current()
    assert who is not None
    return service.describe(who)


@router.delete("/keys/{key_id}", summary="Revoke a key", responses=error_responses(401, 403, 404, 422, 503))
def revoke_key(key_id: Annotated[str, Path(max_length=64)], request: Request) -> KeyOut:
    """It is accepted no more: here at once, by other processes of the server within two seconds."""
    revoked = service.revoke(key_id)
    request.app.state.key_ring.forget()
    return revoked


@router.post(
    "/projects",
    summary="Make a project",
    status_code=status.HTTP_201_CREATED,
    responses=error_responses(401, 403, 409, 413, 422, 503),
)
def create_project(project: Annotated[NewProject, Body()]) -> ProjectOut:
    return projects.create(project)


@router.post("/projects/{project_id}", summary="Limit a project", responses=error_responses(401, 403, 413, 422, 503))
def limit_project(project_id: Annotated[str, Path(max_length=64)], limits: Annotated[Limits, Body()]) -> ProjectOut:
    """Only those that are given are changed; null takes one back."""
    return projects.set_limits(project_id, limits)


@router.get("/projects", summary="List all projects, newest first", responses=error_responses(401, 403, 503))
def list_projects() -> ProjectList:
    return projects.list_projects()
