"""SQL of the webhook noun."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from app.webhook.models import Webhook, WebhookDelivery
from app.webhook.states import DeliveryState


@dataclass(frozen=True, kw_only=True)
class ClaimedDelivery:
    """What is to be sent, by this process alone for a while."""

    id: str
    url: str
    secret: str
    payload: str
    allows_loopback: bool
    attempt: int
    """The how many-th: another process that claims it later has a higher one."""
    created_at: datetime


def webhooks_of(session: Session, project_id: str) -> Sequence[Webhook]:
    return session.scalars(select(Webhook).where(Webhook.project_id == project_id)).all()


def all_webhooks(session: Session) -> Sequence[Webhook]:
    """Newest first."""
    return session.scalars(select(Webhook).order_by(Webhook.id.desc())).all()


def count_webhooks(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Webhook)) or 0


def delete_webhook(session: Session, webhook_id: str) -> bool:
    """With its deliveries. False if there is none."""
    return _rows(session.execute(delete(Webhook).where(Webhook.id == webhook_id))) > 0


def count_by_state(session: Session) -> dict[tuple[str, str], int]:
    """Deliveries by webhook and state."""
    query = select(WebhookDelivery.webhook_id, WebhookDelivery.state, func.count())
    rows = session.execute(query.group_by(WebhookDelivery.webhook_id, WebhookDelivery.state))
    return {(webhook_id, state): count for webhook_id, state, count in rows}


def last_errors(session: Session) -> dict[str, str]:
    """By webhook: why its newest delivery that has failed did so, of those that were not received since."""
    failed = WebhookDelivery.state != DeliveryState.DELIVERED
    newest = (
        select(WebhookDelivery.webhook_id, func.max(WebhookDelivery.id).label("id"))
        .where(failed, WebhookDelivery.last_error.is_not(None))
        .group_by(WebhookDelivery.webhook_id)
        .subquery()
    )
    rows = session.execute(
        select(WebhookDelivery.webhook_id, WebhookDelivery.last_error).join(newest, newest.c.id == WebhookDelivery.id)
    )
    return {webhook_id: error for webhook_id, error in rows if error is not None}


def webhooks_with_due(session: Session, *, moment: datetime, but_for: Collection[str], limit: int) -> Sequence[str]:
    """Ids of webhooks that something is to be sent to by now."""
    query = select(WebhookDelivery.webhook_id).where(
        WebhookDelivery.state == DeliveryState.PENDING,
        WebhookDelivery.next_attempt_at <= moment,
        WebhookDelivery.webhook_id.not_in(but_for),
    )
    return session.scalars(query.distinct().limit(limit)).all()


def claim_due(session: Session, webhook_id: str, *, moment: datetime, until: datetime) -> ClaimedDelivery | None:
    """The oldest delivery that is due, counted as tried and put off ``until`` then; None if there is none."""
    query = (
        select(WebhookDelivery)
        .where(
            WebhookDelivery.webhook_id == webhook_id,
            WebhookDelivery.state == DeliveryState.PENDING,
            WebhookDelivery.next_attempt_at <= moment,
        )
        .order_by(WebhookDelivery.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    delivery = session.scalar(query)
    if delivery is None:
        return None
    webhook = session.get_one(Webhook, webhook_id)
    delivery.num_attempts += 1
    delivery.next_attempt_at = until
    return ClaimedDelivery(
        id=delivery.id,
        url=webhook.url,
        secret=webhook.secret,
        payload=delivery.payload,
        allows_loopback=webhook.allows_loopback,
        attempt=delivery.num_attempts,
        created_at=delivery.created_at,
    )


def record(session: Session, claimed: ClaimedDelivery, **values: Any) -> None:
    """Store how an attempt ended, unless there was a later one, or the webhook is gone."""
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id == claimed.id, WebhookDelivery.num_attempts == claimed.attempt)
        .values(**values)
    )


def forget_ended(session: Session, *, before: datetime) -> None:
    session.execute(delete(WebhookDelivery).where(WebhookDelivery.ended_at < before))


def _rows(result: Any) -> int:
    assert isinstance(result, CursorResult)
    return int(result.rowcount)
