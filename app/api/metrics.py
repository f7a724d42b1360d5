"""``GET /metrics``: for Prometheus."""

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from app.api.errors import error_responses
from app.metrics import service

router = APIRouter(tags=["metrics"])


class MetricsResponse(PlainTextResponse):
    media_type = "text/plain; version=0.0.4; charset=utf-8"


@router.get(
    "/metrics", summary="Numbers for Prometheus", response_class=MetricsResponse, responses=error_responses(401)
)
async def get_metrics(request: Request) -> MetricsResponse:
    """In Prometheus' text format. Without a predictor its own are missing, and ``tunery_predictor_up`` is 0."""
    return MetricsResponse(
        await service.metrics_text(request.app.state.request_counts, request.app.state.stored_numbers)
    )
