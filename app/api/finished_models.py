"""Jobs that work with a finished model: predict a file, export the model."""

from typing import Annotated

from fastapi import APIRouter, Body, Response, status

from app.api.errors import error_responses
from app.api.jobs import IdempotencyKey, created
from app.api.models import ModelId
from app.job import export, prediction
from app.job.schemas import JobOut
from app.spec.export import ExportRequest
from app.spec.prediction import PredictionSpec

router = APIRouter()
"""To be included before the routes of models, whose ids hold slashes and swallow what follows."""


@router.post(
    "/predict/batch",
    tags=["predict"],
    summary="Predict every row of a file, as a job",
    status_code=status.HTTP_201_CREATED,
    responses=error_responses(401, 404, 409, 413, 422, 429, 503),
)
def predict_file(
    response: Response, spec: Annotated[PredictionSpec, Body()], idempotency_key: IdempotencyKey = None
) -> JobOut:
    """When the job has succeeded, its one file of `result_files` holds a line of JSON for each row, in their order.

    A line is `{"row", "prediction", "truncated"}`, the prediction being what `POST /predict` answers for one input, or
    `{"row", "error"}` for a row that could not be predicted.
    """
    return created(response, prediction.submit(spec, idempotency_key=idempotency_key))


@router.post(
    "/models/{model_id:path}/export",
    tags=["models"],
    summary="Export a finished model, as a job",
    status_code=status.HTTP_201_CREATED,
    responses=error_responses(401, 404, 409, 413, 422, 429, 503),
)
def export_model(
    model_id: ModelId,
    response: Response,
    request: Annotated[ExportRequest, Body()],
    idempotency_key: IdempotencyKey = None,
) -> JobOut:
    """When the job has succeeded, its one file of `result_files` is a zip with the model, its tokenizer and how to run it.

    The exported model was compared with what is served; `report` tells the largest difference.
    """
    return created(response, export.export(model_id, request, idempotency_key=idempotency_key))
