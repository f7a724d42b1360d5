"""The workers."""

from fastapi import APIRouter

from app.api.errors import error_responses
from app.job import workers
from app.job.workers import WorkerList

router = APIRouter(prefix="/workers", tags=["workers"])


@router.get(
    "", summary="The workers that are present, what they have and what they run", responses=error_responses(401, 503)
)
def list_workers() -> WorkerList:
    return workers.list_workers()
