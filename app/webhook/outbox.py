"""What webhooks are to be told, written in the transaction in which it becomes true. Nothing is sent here."""

from sqlalchemy.orm import Session

from app import ids
from app.db import now
from app.job.states import JobStatus
from app.spec.kinds import JobKind
from app.webhook import repository
from app.webhook.events import event_name, payload
from app.webhook.models import WebhookDelivery
from app.webhook.states import DeliveryState


def announce_end(session: Session, job_id: str, *, project_id: str, kind: JobKind, status: JobStatus) -> None:
    """A delivery for each webhook of the job's project that is told of such ends. They all carry the same event."""
    event = event_name(kind, status)
    told = [hook for hook in repository.webhooks_of(session, project_id) if hook.events is None or event in hook.events]
    if not told:
        return
    moment = now(session)
    body = payload(event, job_id=job_id, moment=moment)
    session.add_all(
        WebhookDelivery(
            id=ids.new_id(ids.WEBHOOK_DELIVERY),
            webhook_id=hook.id,
            event=event,
            job_id=job_id,
            payload=body,
            state=DeliveryState.PENDING,
            created_at=moment,
            next_attempt_at=moment,
        )
        for hook in told
    )
