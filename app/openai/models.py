"""Models as OpenAI's clients know them."""

from typing import Literal

from pydantic import BaseModel

from app.model import service
from app.model.schemas import ModelOut
from app.openai.pages import Listed, Page, page, unix_seconds

OWNER = "tunery"
"""The organization in the ids of fine-tuned models."""
_AT_A_TIME = 1000


class ModelObject(Listed):
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    base_model: str | None
    """What it was trained from. Like ``task`` a member of ours, which clients keep."""
    task: str | None


class DeletedModelObject(BaseModel):
    id: str
    object: Literal["model"] = "model"
    deleted: Literal[True] = True


def model_object(model: ModelOut) -> ModelObject:
    return ModelObject(
        id=model.id,
        created=unix_seconds(model.created_at),
        owned_by=OWNER,
        base_model=model.base_model,
        task=model.task,
    )


def all_models() -> Page[ModelObject]:
    """Every model, newest first: the clients ask for no second page."""
    found: list[ModelOut] = []
    after, has_more = None, True
    while has_more:
        models = service.list_models(after=after, limit=_AT_A_TIME)
        found += models.data
        after, has_more = models.last_id, models.has_more
    return page([model_object(model) for model in found], has_more=False)
