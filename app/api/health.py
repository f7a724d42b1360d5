"""Is the process up, and can the service do its work?"""

import asyncio
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from app import health
from app.api.errors import error_responses

router = APIRouter(prefix="/health", tags=["health"])

Part = Literal["database", "schema", "worker", "broker", "predictor"]
NEEDED: Final[tuple[Part, ...]] = ("database", "schema", "worker", "predictor")
"""To run jobs and to answer predictions."""


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
    responses={
        503: {"model": Readiness, "description": "A part that is needed does not answer"},
        **error_responses(422),
    },
)
async def ready(
    response: Response,
    part: Annotated[
        list[Part] | None,
        Query(description="What is needed, if it is not database, schema, worker and predictor; may be repeated"),
    ] = None,
) -> Readiness:
    (parts, problem), answers = await asyncio.gather(
        run_in_threadpool(health.stored_parts), health.predictor_answers()
    )  # what is away is found out by waiting, and a probe does not wait for long
    parts["predictor"] = answers
    if not all(parts[name] for name in part or NEEDED):
        response.status_code = 503
        return Readiness(status="unavailable", parts=parts, message=problem)
    return Readiness(status="ok" if all(parts.values()) else "degraded", parts=parts)
