"""What can be asked of webhooks, and how what they are to be told is sent."""

import base64
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Final
from urllib.parse import urlsplit

import httpcore2
import structlog
from standardwebhooks import Webhook as Signer

from app import caller, ids
from app.audit import made
from app.clock import utc_now
from app.config import Settings, get_settings
from app.db import now, reading, transaction
from app.errors import Conflict, InvalidRequest, NotFound
from app.webhook import connection, repository
from app.webhook.addresses import AddressRefusedError, AddressRules, literal
from app.webhook.models import Webhook
from app.webhook.repository import ClaimedDelivery
from app.webhook.schemas import CreatedWebhook, DeletedWebhook, DeliveryCounts, NewWebhook, WebhookList, WebhookOut
from app.webhook.states import DeliveryState

log = structlog.get_logger(__name__)

MOST_WEBHOOKS: Final = 64
"""The end of a job writes a row for each."""
SECRET_BYTES: Final = 32
KEPT: Final = timedelta(days=7)
"""What was received, or given up."""
SLACK_SECONDS: Final = 60.0
"""A name may take so long to be looked up. Who has not recorded an end by then is taken for dead, and it is sent again."""
PAUSE_FACTOR: Final = 4
LONGEST_PAUSE_SECONDS: Final = 12 * 3600.0
_LONGEST_ERROR: Final = 500


def create(wanted: NewWebhook) -> CreatedWebhook:
    """Raises InvalidRequest for a URL that nothing can, or may, be sent to, and Conflict if there are too many."""
    settings = get_settings()
    who = caller.current()
    rules = _rules(settings, allows_loopback=who is None or who.key_id is None)
    _check_url(wanted.url, rules=rules)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    events = None if wanted.events is None else sorted(set(wanted.events))
    webhook = Webhook(
        id=ids.new_id(ids.WEBHOOK),
        url=wanted.url,
        events=events,
        secret=secret,
        allows_loopback=rules.allows_loopback,
        created_at=utc_now(),
    )
    with transaction() as session:
        if repository.count_webhooks(session) >= MOST_WEBHOOKS:
            raise Conflict(
                f"There are {MOST_WEBHOOKS} webhooks, and no more are told.",
                code="too_many_webhooks",
                hint="Delete one that is not needed any more.",
            )
        session.add(webhook)
    made.tell(webhook.id)
    return CreatedWebhook(**_out(webhook, counts={}, error=None).model_dump(), secret=secret)


def list_webhooks() -> WebhookList:
    with reading() as session:
        webhooks = repository.all_webhooks(session)
        counts, errors = repository.count_by_state(session), repository.last_errors(session)
    data = [_out(webhook, counts=counts, error=errors.get(webhook.id)) for webhook in webhooks]
    return WebhookList(data=data, first_id=data[0].id if data else None, last_id=data[-1].id if data else None)


def delete(webhook_id: str) -> DeletedWebhook:
    """What it was still to be told is forgotten. Raises NotFound."""
    if ids.is_id(webhook_id, ids.WEBHOOK):
        with transaction() as session:
            if repository.delete_webhook(session, webhook_id):
                return DeletedWebhook(id=webhook_id)
    raise NotFound(f"There is no webhook {webhook_id!r}.", param="webhook_id", code="webhook_not_found")


def due(*, but_for: Collection[str], limit: int) -> Sequence[str]:
    """Ids of webhooks that something is to be sent to by now, ``but_for`` those that somebody sees to."""
    with reading() as session:
        return repository.webhooks_with_due(session, moment=now(session), but_for=but_for, limit=limit)


def deliver_next(webhook_id: str) -> bool:
    """Send the oldest delivery that is due, and record how that ended. False if there was none."""
    settings = get_settings()
    patience = timedelta(seconds=settings.webhook_timeout_seconds + SLACK_SECONDS)
    with transaction() as session:
        moment = now(session)
        claimed = repository.claim_due(session, webhook_id, moment=moment, until=moment + patience)
    if claimed is None:
        return False
    error = _send(claimed, settings)
    with transaction() as session:
        moment = now(session)
        if error is None:
            repository.record(session, claimed, state=DeliveryState.DELIVERED, ended_at=moment, last_error=None)
        else:
            repository.record(session, claimed, last_error=error[:_LONGEST_ERROR], **_put_off(claimed, moment))
    log.info("webhook delivery", delivery_id=claimed.id, attempt=claimed.attempt, error=error)
    return True


def forget_old() -> None:
    """Deliveries that ended days ago."""
    with transaction() as session:
        repository.forget_ended(session, before=now(session) - KEPT)


def _send(claimed: ClaimedDelivery, settings: Settings) -> str | None:
    """Why it was not received, or None."""
    sent_at = utc_now()
    headers = [
        ("content-type", "application/json"),
        ("user-agent", f"Tunery/{version('tunery')}"),
        ("webhook-id", claimed.id),
        ("webhook-timestamp", str(int(sent_at.timestamp()))),
        ("webhook-signature", Signer(claimed.secret).sign(claimed.id, sent_at, claimed.payload)),
    ]
    try:
        status = connection.post(
            claimed.url,
            claimed.payload.encode(),
            headers=headers,
            rules=_rules(settings, allows_loopback=claimed.allows_loopback),
            timeout_seconds=settings.webhook_timeout_seconds,
        )
    except (OSError, UnicodeError, AddressRefusedError) as error:  # a name may be none that can be looked up
        return str(error)
    except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError) as error:
        return f"{type(error).__name__}: {error}"
    return None if 200 <= status < 300 else f"The receiver answered with {status}."


def _put_off(claimed: ClaimedDelivery, moment: datetime) -> dict[str, object]:
    """The next attempt comes after a pause that grows, until it would come days after the event."""
    settings = get_settings()
    pause = min(settings.webhook_retry_seconds * PAUSE_FACTOR ** (claimed.attempt - 1), LONGEST_PAUSE_SECONDS)
    pause *= 1 + secrets.randbelow(200) / 1000  # receivers that were down together are not all asked at once
    next_attempt_at = moment + timedelta(seconds=pause)
    if next_attempt_at > claimed.created_at + timedelta(seconds=settings.webhook_give_up_seconds):
        return {"state": DeliveryState.GIVEN_UP, "ended_at": moment}
    return {"next_attempt_at": next_attempt_at}


def _rules(settings: Settings, *, allows_loopback: bool) -> AddressRules:
    return AddressRules(allowed_hosts=settings.webhook_allowed_hosts, allows_loopback=allows_loopback)


def _check_url(url: str, *, rules: AddressRules) -> None:
    """Raise InvalidRequest if it cannot be sent to. A name is only looked up when something is sent."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidRequest("The URL must be an http:// or https:// address.", param="url", code="invalid_value")
    if parts.username is not None or parts.password is not None:
        raise InvalidRequest(
            "The URL must hold no user name or password.",
            param="url",
            code="invalid_value",
            hint="Deliveries are signed: let the receiver check the signature.",
        )
    host = parts.hostname or ""
    address = literal(host)
    if address is not None and not rules.allows(host, address):
        raise InvalidRequest(
            f"Nothing is sent to {host}, which is a private address.",
            param="url",
            code="webhook_address_not_allowed",
            hint="Name it in TUNERY_WEBHOOK_ALLOWED_HOSTS if that is meant.",
        )


def _out(webhook: Webhook, *, counts: dict[tuple[str, str], int], error: str | None) -> WebhookOut:
    return WebhookOut(
        id=webhook.id,
        url=webhook.url,
        events=webhook.events,
        created_at=webhook.created_at,
        deliveries=DeliveryCounts(**{state.value: counts.get((webhook.id, state), 0) for state in DeliveryState}),
        last_error=error,
    )
