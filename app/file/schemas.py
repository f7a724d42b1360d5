"""What the API says of a file."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from app.dataset.formats import DataFormat
from app.dataset.profile import DatasetProfile
from app.spec.base import ProblemType, TaskName
from app.spec.job import ColumnsSpec


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


class SuggestionOut(BaseModel):
    """What a job that trains on the file, and leaves these to ``"auto"``, would find."""

    task: TaskName
    problem_type: ProblemType
    columns: ColumnsSpec
    label_names: list[str]
    """Empty where there are no classes."""


class NoSuggestionOut(BaseModel):
    """Why such a job would be refused, and what to say in it."""

    code: str
    message: str
    param: str | None
    hint: str | None


class AdviceOut(BaseModel):
    code: str
    message: str


class FileOut(FileSummary):
    """A file, with what is known of its rows and columns."""

    profile: DatasetProfile | None
    suggestion: SuggestionOut | None
    """null: it cannot be told from the columns, or the file is not there to be trained on."""
    no_suggestion: NoSuggestionOut | None
    data_report: dict[str, Any] | None
    """What ``data_report`` of a job says of a split: labels, lengths, duplicates, conflicting labels."""
    warnings: list[AdviceOut]
    """What a job that trains on the file would warn of."""


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
