"""Files as OpenAI's clients know them."""

from typing import Final, Literal

from pydantic import BaseModel

from app.file.schemas import FilePage, FileSummary
from app.openai.pages import Listed, Page, optional_seconds, page, unix_seconds

Purpose = Literal["fine-tune", "fine-tune-results", "batch_output", "user_data"]

PURPOSES: Final[dict[str, Purpose]] = {
    "fine-tune": "fine-tune",
    "fine-tune-results": "fine-tune-results",
    "predictions": "batch_output",
    "export": "user_data",
}
"""Ours, by the nearest that the clients know: they refuse others."""
_OURS: Final[dict[str, str]] = {theirs: ours for ours, theirs in PURPOSES.items()}


class FileObject(Listed):
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: Purpose
    status: Literal["uploaded", "processed", "error"]
    status_details: None = None


class DeletedFileObject(BaseModel):
    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


def file_object(file: FileSummary) -> FileObject:
    return FileObject(
        id=file.id,
        bytes=file.bytes,
        created_at=unix_seconds(file.created_at),
        expires_at=optional_seconds(file.expires_at),
        filename=file.filename,
        purpose=PURPOSES[file.purpose],
        status=file.status,
    )


def file_page(files: FilePage) -> Page[FileObject]:
    return page([file_object(file) for file in files.data], has_more=files.has_more)


def our_purpose(purpose: str | None) -> str | None:
    """What such files are called here; of a purpose that no file has, a word that finds none."""
    return None if purpose is None else _OURS.get(purpose, "")
