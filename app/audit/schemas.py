"""What the API tells of the audit log."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field


class AuditEventOut(BaseModel):
    id: str
    object: Literal["audit.event"] = "audit.event"
    created_at: datetime
    project_id: str | None = Field(description="Of the caller; null for one that was turned away")
    key_id: str | None = Field(description="That it was asked with; null without keys")
    action: str = Field(description="A noun and what became of it, such as `job.create`")
    object_id: str | None = Field(description="What it was done to")
    status: int = Field(description="Of the answer: 2xx, it was done")
    client: str | None = Field(description="The address that the request came from")
    request_id: str


class AuditPage(BaseModel):
    object: Literal["list"] = "list"
    data: list[AuditEventOut]
    has_more: bool
    first_id: str | None
    last_id: str | None
