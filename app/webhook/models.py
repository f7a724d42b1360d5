"""Tables of the webhook noun."""

from datetime import datetime
from typing import Final

from sqlalchemy import ForeignKey, Index, Integer, String, Text, inspect, select
from sqlalchemy.orm import Mapped, mapped_column, with_loader_criteria
from sqlalchemy.orm.util import LoaderCriteriaOption

from app.db import Base, Instant, Json, Owned, seen_with_its_owner


class Webhook(Owned, Base):
    """A URL that is told how jobs end."""

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str] | None] = mapped_column(Json)
    """Names of those that it is told of; unset: all."""
    secret: Mapped[str] = mapped_column(Text)
    """``whsec_…``: what is sent is signed with it, so it is kept as it is."""
    allows_loopback: Mapped[bool] = mapped_column()
    """It was added where no key is asked for: whoever did so can reach this machine's own services anyway."""
    created_at: Mapped[datetime] = mapped_column(Instant)


class WebhookDelivery(Base):
    """One event that one webhook is to be told of: written with the event itself, sent later, as often as it takes."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Sent as ``webhook-id``, the same each time: a receiver knows by it what it has had before."""
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(String(64))
    payload: Mapped[str] = mapped_column(Text)
    """The body, byte for byte."""
    state: Mapped[str] = mapped_column(String(16), default="pending")
    """A ``DeliveryState``."""
    num_attempts: Mapped[int] = mapped_column(Integer, default=0)
    last_error: Mapped[str | None] = mapped_column(Text)
    """Why the last attempt failed."""
    created_at: Mapped[datetime] = mapped_column(Instant)
    next_attempt_at: Mapped[datetime] = mapped_column(Instant)
    """By the database's clock. Whoever sends it puts it off first, for as long as sending may take."""
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    """When it was received, or given up."""

    __table_args__ = (
        Index("ix_webhook_deliveries_due", "state", "next_attempt_at"),
        Index("ix_webhook_deliveries_webhook", "webhook_id", "id"),
    )


_WEBHOOKS: Final = inspect(Webhook).local_table.alias()
"""Statements may hold the table itself."""


@seen_with_its_owner
def _with_its_webhook(project_id: str) -> LoaderCriteriaOption:
    return with_loader_criteria(
        WebhookDelivery,
        lambda delivery: (
            select(_WEBHOOKS.c.id)
            .where(_WEBHOOKS.c.id == delivery.webhook_id, _WEBHOOKS.c.project_id == project_id)
            .exists()
        ),
        include_aliases=True,
    )
