"""``client.files``: upload, list, read, delete."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse

from app.api.errors import error_responses
from app.api.files import MEDIA_TYPES_OF_FILES, UPLOAD_FORM, FileId, sent
from app.api.uploads import receive_upload
from app.config import get_settings
from app.file import service
from app.openai.files import DeletedFileObject, FileObject, file_object, file_page, our_purpose
from app.openai.pages import Page

router = APIRouter(prefix="/v1/files", tags=["OpenAI"])

MOST_A_PAGE = 1000
"""Clients may ask for 10,000; they go on with the next page."""


@router.post(
    "",
    summary="Upload a data file",
    responses=error_responses(401, 413, 422, 503, 507),
    openapi_extra=UPLOAD_FORM,
)
async def create_file(request: Request) -> FileObject:
    return file_object(await receive_upload(request, service.create_file, max_bytes=get_settings().max_upload_bytes))


@router.get("", summary="List files", responses=error_responses(401, 422, 503))
def list_files(
    purpose: Annotated[str | None, Query(max_length=64)] = None,
    after: Annotated[str | None, Query(max_length=64, description="Id of the last file of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = MOST_A_PAGE,
    order: Literal["asc", "desc"] = "desc",
) -> Page[FileObject]:
    return file_page(
        service.list_files(
            after=after, limit=min(limit, MOST_A_PAGE), purpose=our_purpose(purpose), oldest_first=order == "asc"
        )
    )


@router.get(
    "/{file_id}/content",
    summary="A file's bytes",
    response_class=FileResponse,
    responses={
        200: {
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES_OF_FILES.values()
            }
        },
        **error_responses(401, 404, 422, 503),
    },
)
def read_content(file_id: FileId) -> FileResponse:
    return sent(*service.content_of(file_id))


@router.get("/{file_id}", summary="A file", responses=error_responses(401, 404, 422, 503))
def get_file(file_id: FileId) -> FileObject:
    return file_object(service.describe(file_id))


@router.delete("/{file_id}", summary="Delete a file", responses=error_responses(401, 404, 409, 422, 503))
def delete_file(file_id: FileId) -> DeletedFileObject:
    return DeletedFileObject(id=service.delete_file(file_id).id)
