"""The token that jobs read gated and private repositories of the Hub with."""

from typing import Annotated

from fastapi import APIRouter, Body

from app.api.errors import error_responses
from app.hub_token import service
from app.hub_token.schemas import HubTokenOut, NewHubToken, RemovedHubToken

router = APIRouter(prefix="/hub-token", tags=["hub token"])


@router.put("", summary="Set the Hub token", responses=error_responses(401, 413, 422, 503))
def put_hub_token(token: Annotated[NewHubToken, Body()]) -> HubTokenOut:
    """It is kept encrypted, takes the place of the one before, and is never told again."""
    return service.put(token)


@router.get("", summary="Whether there is a Hub token", responses=error_responses(401, 503))
def get_hub_token() -> HubTokenOut:
    return service.show()


@router.delete("", summary="Forget the Hub token", responses=error_responses(401, 503))
def delete_hub_token() -> RemovedHubToken:
    """Attempts that are running have it until they end."""
    return service.remove()
