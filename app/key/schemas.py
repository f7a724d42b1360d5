"""What the API takes and tells of keys and projects."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.key.scopes import USUAL, Scope

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]
LONGEST_LIFE_SECONDS = 10 * 365 * 24 * 3600


class NewKey(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: Name
    """For people: who or what uses it."""
    project: Annotated[str, Field(max_length=64)] = "default"
    """Name or id of the project that it acts for."""
    scopes: Annotated[list[Scope], Field(min_length=1)] = list(USUAL)
    """What it may be used for."""
    expires_in_seconds: Annotated[int, Field(gt=0, le=LONGEST_LIFE_SECONDS, strict=True)] | None = None
    """After so long it is not accepted any more; null: never."""


class KeyOut(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    object: Literal["key"] = "key"
    name: str
    prefix: str
    """How the key begins: by this it is told from others."""
    project_id: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To the minute."""


class CreatedKey(KeyOut):
    key: str
    """What is sent as ``Authorization: Bearer …``. It is told this once, and not kept."""


class KeyList(BaseModel):
    """All of them, newest first."""

    data: list[KeyOut]
    has_more: Literal[False] = False
    first_id: str | None
    last_id: str | None


class CallerOut(BaseModel):
    """Who asks."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    key_id: str | None
    """``first``: the key of ``TUNERY_FIRST_API_KEY``; null: no key is asked for."""
    name: str | None
    project_id: str
    scopes: list[Scope]
    expires_at: datetime | None


Limit = Annotated[int, Field(ge=0, le=2**53, strict=True)] | None


class Limits(BaseModel):
    """Of a project; null: no limit."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    max_queued_jobs: Limit = None
    """Jobs that may wait at a time; trials of sweeps do not count as they are begun."""
    max_running_jobs: Limit = None
    """Jobs that may run at a time; others of it wait."""
    max_stored_bytes: Limit = None
    """Files and models together, beyond which uploads are refused."""
    max_predictions_per_minute: Limit = None
    """Requests to models, by each API process."""
    max_event_streams: Limit = None
    """Open at a time, by each API process."""


class NewProject(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: Annotated[Name, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")]


class ProjectOut(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    object: Literal["project"] = "project"
    name: str
    limits: Limits
    """Its own; of those that are null the settings tell."""
    created_at: datetime


class ProjectList(BaseModel):
    """All of them, newest first."""

    data: list[ProjectOut]
    has_more: Literal[False] = False
    first_id: str | None
    last_id: str | None
