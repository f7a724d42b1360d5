"""What the native API tells of models."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel


class ModelOut(BaseModel):
    """A registered or fine-tuned model."""

    id: str
    kind: Literal["registered", "fine-tuned"]
    base_model: str | None
    """What it was trained from."""
    job_id: str | None
    """The job that made it."""
    task: str | None
    labels: list[str] | None
    """Names of its classes by id, if it is a classifier."""
    metrics: dict[str, Any]
    """``eval/…`` and ``test/…`` of the published weights."""
    weights_sha256: str
    base_sha256: str | None
    """Of an adapter: the hash of the weights that it is served on, stored once for all adapters on them."""
    shared: bool = False
    """Whether all projects may use it."""
    size_bytes: int
    """Of its own files."""
    created_at: datetime


class ModelFileOut(BaseModel):
    name: str
    size_bytes: int
    sha256: str


class ModelDetailOut(ModelOut):
    """One model with its files."""

    files: list[ModelFileOut]
    config: dict[str, Any]
    """The telling members of config.json."""
    card: str | None
    """README.md, if it has one: Markdown by whoever made the model, not to be trusted as HTML."""


class ModelPage(BaseModel):
    data: list[ModelOut]
    has_more: bool
    first_id: str | None
    last_id: str | None


class DeletedModelOut(BaseModel):
    id: str
    deleted: Literal[True] = True
