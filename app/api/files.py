"""Data files: upload, look at, delete."""

from pathlib import Path as FilePath
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response, status
from fastapi.responses import FileResponse, RedirectResponse

from app.api.errors import error_responses
from app.api.uploads import receive_upload
from app.config import get_settings
from app.dataset.formats import MEDIA_TYPES
from app.file import service
from app.file.models import File
from app.file.schemas import FileDeleted, FileOut, FilePage
from app.file.upload import LEAST_KEPT_SECONDS, MOST_KEPT_SECONDS

router = APIRouter(prefix="/files", tags=["files"])

FileId = Annotated[str, Path(max_length=64, examples=["file-0199f0c3a4b27d6a8f4c2e0d9b1a5c7e"])]

MEDIA_TYPES_OF_FILES: Final = MEDIA_TYPES | {"zip": "application/zip"}
"""Of data, and of what jobs export."""

UPLOAD_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "JSON Lines, CSV with a header, or Parquet, by its name and content",
                        },
                        "purpose": {"type": "string", "enum": ["fine-tune"], "default": "fine-tune"},
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {
                            "type": "integer",
                            "minimum": LEAST_KEPT_SECONDS,
                            "maximum": MOST_KEPT_SECONDS,
                            "description": "After so long it is deleted, unless a job needs it",
                        },
                    },
                }
            }
        },
    }
}
"""The route reads the body itself, piece by piece, so that FastAPI cannot tell what it is."""


@router.post(
    "",
    summary="Upload a data file; it is checked while it comes",
    status_code=status.HTTP_201_CREATED,
    responses=error_responses(401, 413, 422, 503, 507),
    openapi_extra=UPLOAD_FORM,
)
async def create_file(request: Request, response: Response) -> FileOut:
    file = await receive_upload(request, service.create_file, max_bytes=get_settings().max_upload_bytes)
    response.headers["location"] = f"/files/{file.id}"
    return file


@router.get("", summary="List files, newest first", responses=error_responses(401, 422, 503))
def list_files(
    after: Annotated[str | None, Query(max_length=64, description="Id of the last file of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> FilePage:
    return service.list_files(after=after, limit=limit)


@router.get(
    "/{file_id}/content",
    summary="The file as it was uploaded, or as a job wrote it",
    response_class=FileResponse,
    responses={
        307: {"description": "Where the store has it, with `TUNERY_PRESIGNED_DOWNLOADS`"},
        200: {
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES_OF_FILES.values()
            }
        },
        **error_responses(401, 404, 422, 503),
    },
)
def read_content(file_id: FileId) -> Response:
    url = service.presigned_url(file_id, media_types=MEDIA_TYPES_OF_FILES)
    return sent(*service.content_of(file_id)) if url is None else RedirectResponse(url)


def sent(file: File, path: FilePath) -> FileResponse:
    """Its bytes, under the name that it was uploaded by."""
    return FileResponse(path, media_type=MEDIA_TYPES_OF_FILES[file.format], filename=file.filename)


@router.get("/{file_id}", summary="A file and what is known of its rows", responses=error_responses(401, 404, 422, 503))
def get_file(file_id: FileId) -> FileOut:
    return service.describe(file_id)


@router.delete("/{file_id}", summary="Delete a file", responses=error_responses(401, 404, 409, 422, 503))
def delete_file(file_id: FileId) -> FileDeleted:
    return service.delete_file(file_id)
