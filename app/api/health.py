"""Is the process up, and can the service do its work?"""

from typing import Literal

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from app import health

router = APIRouter(prefix="/health", tags=["health"])


class Liveness(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """``parts`` says of each part whether it answers. The broker may be down: jobs then start a little later."""

    status: Literal["ok", "degraded", "unavailable"]
    parts: dict[str, bool]
    message: str | None = None
    """Why the database's schema does not fit this version, and what to do."""


@router.get("/live", summary="The process answers")
async def live() -> Liveness:
    return Liveness()


@router.get(
    "/ready",
    summary="Jobs can run and predictions can be asked",
    responses={503: {"model": Readiness, "description": "A part that is needed does not answer"}},
)
async def ready(response: Response) -> Readiness:
    parts, problem = await run_in_threadpool(health.stored_parts)
    parts["predictor"] = await health.predictor_answers()
    needed = parts["database"] and parts["schema"] and parts["worker"] and parts["predictor"]
    if not needed:
        response.status_code = 503
        return Readiness(status="unavailable", parts=parts, message=problem)
    return Readiness(status="ok" if parts["broker"] else "degraded", parts=parts)
