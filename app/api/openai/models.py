"""``client.models``: list, look at, delete."""

from fastapi import APIRouter

from app.api.errors import error_responses
from app.api.models import ModelId
from app.model import service
from app.openai.models import DeletedModelObject, ModelObject, all_models, model_object
from app.openai.pages import Page
from app.prediction.known import forget

router = APIRouter(prefix="/v1/models", tags=["OpenAI"])


@router.get("", summary="List all models, newest first", responses=error_responses(401, 422, 503))
def list_models() -> Page[ModelObject]:
    return all_models()


@router.get("/{model_id:path}", summary="A model", responses=error_responses(401, 404, 422, 503))
def get_model(model_id: ModelId) -> ModelObject:
    return model_object(service.get_model(model_id))


@router.delete("/{model_id:path}", summary="Delete a model", responses=error_responses(401, 404, 409, 422, 503))
def delete_model(model_id: ModelId) -> DeletedModelObject:
    deleted = service.delete_model(model_id)
    forget()
    return DeletedModelObject(id=deleted.id)
