"""What is said of Hub tokens on the wire. The token itself goes in and never out."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class NewHubToken(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    token: Annotated[SecretStr, Field(min_length=8, max_length=512)]
    """As the Hub shows it: `hf_…`."""


class HubTokenOut(BaseModel):
    object: Literal["hub_token"] = "hub_token"
    is_set: bool
    last_four: str | None = None
    """Its last characters; null for a token of less than 16."""
    set_at: datetime | None = None


class RemovedHubToken(BaseModel):
    object: Literal["hub_token"] = "hub_token"
    deleted: bool
    """False: there was none."""
