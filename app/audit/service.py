"""The audit log: who changed what, when, from where, and whether it was done."""

from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app import ids
from app.audit import repository
from app.audit.models import AuditEvent
from app.audit.schemas import AuditEventOut, AuditPage
from app.caller import Caller
from app.clock import utc_now
from app.config import get_settings
from app.db import reading, transaction
from app.errors import InvalidRequest

log = structlog.get_logger(__name__)

_LONGEST_ID: Final = 255


def record(
    action: str, *, caller: Caller | None, object_id: str | None, status: int, client: str | None, request_id: str
) -> None:
    """Write a line. What cannot be written is logged, and harms no request: it was answered already."""
    line = {
        "action": action,
        "object_id": None if object_id is None else object_id.replace("\0", "")[:_LONGEST_ID],
        "status": status,
        "client": client,
        "request_id": request_id,
        "project_id": caller.project_id if caller else None,
        "key_id": caller.key_id if caller else None,
    }
    try:
        with transaction() as session:
            session.add(AuditEvent(id=ids.new_id(ids.AUDIT_EVENT), created_at=utc_now(), **line))
    except SQLAlchemyError as error:
        log.error("a line of the audit log was not written", **line, error=str(error))  # noqa: TRY400 - the line is what counts


def list_events(
    *, action: str | None, object_id: str | None, project_id: str | None, after: str | None, limit: int
) -> AuditPage:
    """Newest first; ``after`` is the id of the last of the page before. Raises InvalidRequest if it is none."""
    if after is not None and not ids.is_id(after, ids.AUDIT_EVENT):
        raise InvalidRequest(f"{after!r} is not the id of an audit event.", param="after", code="invalid_cursor")
    asked = {"action": action, "object_id": object_id, "project_id": project_id}
    filters = {name: value.replace("\0", "") for name, value in asked.items() if value is not None}
    with reading() as session:
        rows = repository.page(session, filters=filters, after=after, limit=limit)
        data = [AuditEventOut.model_validate(row, from_attributes=True) for row in rows[:limit]]
    return AuditPage(
        data=data,
        has_more=len(rows) > limit,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
    )


def forget_old() -> None:
    """Delete what is older than ``TUNERY_KEEP_AUDIT_SECONDS``."""
    kept = timedelta(seconds=get_settings().keep_audit_seconds)
    with transaction() as session:
        repository.forget(session, before=utc_now() - kept)
