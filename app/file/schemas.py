"""What the API says of a file."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from app.dataset.formats import DataFormat
from app.dataset.profile import DatasetProfile


class FileSummary(BaseModel):
    """A file in a list."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: datetime
    filename: str
    """As the client named it; says nothing about where it lies."""
    purpose: str
    format: DataFormat | Literal["zip"]
    sha256: str
    job_id: str | None = None
    """The job that wrote it; of an upload null."""
    status: Literal["processed"] = "processed"
    """A file that was not fit is refused while it is uploaded, so every file there is can be used."""
    num_rows: int | None
    """null: it holds no rows."""
    expires_at: datetime | None = None
    """When it is deleted, if no job needs it then; null: never."""


class FileOut(FileSummary):
    """A file, with what is known of its rows and columns."""

    profile: DatasetProfile | None


class FilePage(BaseModel):
    """Files, newest first. The next page is asked for with ``after=last_id``."""

    data: list[FileSummary]
    has_more: bool
    first_id: str | None
    last_id: str | None


class FileDeleted(BaseModel):
    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True
