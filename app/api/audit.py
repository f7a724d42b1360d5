"""The audit log."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.errors import error_responses
from app.audit import service
from app.audit.schemas import AuditPage

router = APIRouter(prefix="/audit", tags=["audit"])


@router.get("", summary="Who changed what, newest first", responses=error_responses(401, 422, 503))
def list_audit_events(
    action: Annotated[str | None, Query(max_length=64, examples=["job.create"])] = None,
    object_id: Annotated[str | None, Query(max_length=255)] = None,
    project_id: Annotated[str | None, Query(max_length=64)] = None,
    after: Annotated[
        str | None, Query(max_length=64, description="The id of the last event of the page before")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> AuditPage:
    return service.list_events(action=action, object_id=object_id, project_id=project_id, after=after, limit=limit)
