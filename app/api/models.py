"""Models: register, list, look at, download, delete."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response, status
from fastapi.responses import StreamingResponse

from app.api.errors import error_responses
from app.api.uploads import receive_upload
from app.config import get_settings
from app.model import service
from app.model.schemas import DeletedModelOut, ModelDetailOut, ModelOut, ModelPage
from app.prediction.known import forget

router = APIRouter(prefix="/models", tags=["models"])

ModelId = Annotated[str, Path(max_length=255, examples=["ft:google-bert/bert-base-uncased:tunery:paraphrase:0199f0c3"])]

_REGISTER_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["name", "files"],
                "properties": {
                    "name": {"type": "string", "maxLength": 193, "description": "Name to train from it by"},
                    "shared": {"type": "boolean", "description": "Let all projects use it; for admins"},
                    "files": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "description": "config.json, *.safetensors and the tokenizer's files, each with its file name",
                    },
                },
            }
        }
    },
}


@router.post(
    "",
    summary="Register a model",
    status_code=status.HTTP_201_CREATED,
    responses={
        200: {"model": ModelOut, "description": "The same model is registered under that name already"},
        **error_responses(401, 403, 409, 413, 422, 503, 507),
    },
    openapi_extra={"requestBody": _REGISTER_BODY},
)
async def register_model(request: Request, response: Response) -> ModelOut:
    """Send the files of a `transformers` model folder: safetensors only, and no code. They are checked as they come."""
    max_bytes = get_settings().max_model_bytes
    model, is_new = await receive_upload(request, service.register, max_bytes=max_bytes)
    if not is_new:
        response.status_code = status.HTTP_200_OK
    response.headers["location"] = f"/models/{quote(model.id)}"
    return model


@router.get("", summary="List models, newest first", responses=error_responses(401, 422, 503))
def list_models(
    after: Annotated[str | None, Query(max_length=255, description="Id of the last model of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> ModelPage:
    return service.list_models(after=after, limit=limit)


# Ids hold slashes, so the route of a model swallows what follows: longer routes come first.
@router.get(
    "/{model_id:path}/download",
    summary="Download a model",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The folder as a zip", "content": {"application/zip": {}}},
        **error_responses(401, 404, 422, 503),
    },
)
def download_model(
    model_id: ModelId,
    base: Annotated[bool, Query(description="Of an adapter: put what it is attached to into the folder `base`")] = True,  # noqa: FBT002 - by name only, in a URL
) -> StreamingResponse:
    """Unzipped, the folder loads with `AutoModelForSequenceClassification.from_pretrained`; an adapter as its README.md says."""
    filename, blocks = service.download(model_id, with_base=base)
    headers = {"content-disposition": f'attachment; filename="{filename}"'}
    return StreamingResponse(blocks, media_type="application/zip", headers=headers)


@router.get("/{model_id:path}", summary="Get a model", responses=error_responses(401, 404, 422, 503))
def get_model(model_id: ModelId) -> ModelDetailOut:
    return service.get_model(model_id)


@router.delete("/{model_id:path}", summary="Delete a model", responses=error_responses(401, 404, 409, 422, 503))
def delete_model(model_id: ModelId) -> DeletedModelOut:
    """Its files are removed. Jobs that were trained from it, or made it, stay."""
    deleted = service.delete_model(model_id)
    forget()
    return deleted
