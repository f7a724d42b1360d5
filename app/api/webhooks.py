"""Webhooks: add, list, delete."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, status

from app.api.errors import error_responses
from app.webhook import service
from app.webhook.schemas import CreatedWebhook, DeletedWebhook, NewWebhook, WebhookList

router = APIRouter(prefix="/webhooks", tags=["webhooks"])


@router.post(
    "",
    summary="Have a URL told how jobs end",
    status_code=status.HTTP_201_CREATED,
    responses=error_responses(401, 409, 413, 422, 503),
)
def create_webhook(webhook: Annotated[NewWebhook, Body()]) -> CreatedWebhook:
    """The answer holds the secret that deliveries are signed with, which is told this once."""
    return service.create(webhook)


@router.get("", summary="List webhooks, newest first", responses=error_responses(401, 503))
def list_webhooks() -> WebhookList:
    return service.list_webhooks()


@router.delete("/{webhook_id}", summary="Delete a webhook", responses=error_responses(401, 404, 422, 503))
def delete_webhook(webhook_id: Annotated[str, Path(max_length=64)]) -> DeletedWebhook:
    return service.delete(webhook_id)
