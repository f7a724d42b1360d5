"""What the native API takes and tells of webhooks."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.webhook.events import ALL_EVENTS


def _known(event: str) -> str:
    if event not in ALL_EVENTS:
        raise ValueError(f"there is no such event; there are {', '.join(sorted(ALL_EVENTS))}")
    return event


class NewWebhook(BaseModel):
    """Where to send events, and which."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(min_length=1, max_length=2048)]
    events: Annotated[list[Annotated[str, AfterValidator(_known)]], Field(min_length=1, max_length=64)] | None = None
    """Names such as ``fine_tuning.job.succeeded``; unset: all there are."""


class DeliveryCounts(BaseModel):
    """Of the last days."""

    pending: int
    delivered: int
    given_up: int


class WebhookOut(BaseModel):
    id: str
    object: Literal["webhook"] = "webhook"
    url: str
    events: list[str] | None
    created_at: datetime
    deliveries: DeliveryCounts
    last_error: str | None
    """Why the newest delivery that was not received has failed so far."""


class CreatedWebhook(WebhookOut):
    secret: str = Field(description="What deliveries are signed with; it is told this once")


class WebhookList(BaseModel):
    """Newest first, and always all of them."""

    object: Literal["list"] = "list"
    data: list[WebhookOut]
    has_more: Literal[False] = False
    first_id: str | None
    last_id: str | None


class DeletedWebhook(BaseModel):
    id: str
    object: Literal["webhook"] = "webhook"
    deleted: Literal[True] = True
