"""Classifiers as clients of text-embeddings-inference ask them."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from app.api.errors import plain_error_responses
from app.api.model_answers import REFUSALS, AskedModelId, answer_while_present
from app.prediction import tei
from app.prediction.schemas import LabelScore
from app.prediction.tei import TeiPredictRequest

router = APIRouter(prefix="/models", tags=["text-embeddings-inference"])


@router.post(
    "/{model_id:path}/predict",
    summary="Classify texts as text-embeddings-inference does",
    response_model=None,
    responses={
        200: {"model": list[LabelScore] | list[list[LabelScore]], "description": "Of a batch a list for each input"},
        **REFUSALS,
        **plain_error_responses(400, 424),
    },
)
async def classify(model_id: AskedModelId, request: TeiPredictRequest, http: Request) -> JSONResponse:
    """``["a", "b"]`` is one pair; ``[["a"], ["b", "c"]]`` a batch of a text and a pair."""
    return await answer_while_present(http, tei.predict(model_id, request))
