"""Jobs: submit, watch, cancel."""

import re
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response, status

from app.api.errors import error_responses
from app.errors import InvalidRequest
from app.job import service, submission
from app.job.schemas import CheckpointPage, JobOut, JobPage, LogPage, MetricPage, ValidationOut
from app.job.states import JobStatus
from app.spec.job import JobSpec

router = APIRouter(prefix="/jobs", tags=["jobs"])

JobId = Annotated[str, Path(max_length=64, examples=["ftjob-0199f0c3a4b27d6a8f4c2e0d9b1a5c7e"])]
_METADATA = re.compile(r"metadata\[(.{1,64})\]")


def metadata_filter(request: Request) -> dict[str, str]:
    """``?metadata[team]=nlp``, which OpenAPI cannot describe."""
    found = {}
    for key, value in request.query_params.multi_items():
        if key.startswith("metadata"):
            match = _METADATA.fullmatch(key)
            if match is None:
                raise InvalidRequest("A metadata filter is written metadata[KEY]=VALUE.", param="metadata")
            found[match[1]] = value
    return found


@router.post(
    "",
    summary="Submit a job",
    status_code=status.HTTP_201_CREATED,
    responses={
        200: {"model": ValidationOut, "description": "With validate_only"},
        **error_responses(401, 413, 422, 429, 503),
    },
)
def create_job(
    response: Response,
    spec: Annotated[JobSpec, Body()],
    validate_only: Annotated[bool, Query(description="Check and fill in the spec, but store nothing")] = False,  # noqa: FBT002
) -> JobOut | ValidationOut:
    if validate_only:
        response.status_code = status.HTTP_200_OK
        return submission.validate(spec)
    job = submission.submit(spec)
    response.headers["location"] = f"/jobs/{job.id}"
    return job


@router.get("", summary="List jobs, newest first", responses=error_responses(401, 422, 503))
def list_jobs(
    metadata: Annotated[dict[str, str], Depends(metadata_filter)],
    status: Annotated[JobStatus | None, Query()] = None,
    after: Annotated[str | None, Query(max_length=64, description="Id of the last job of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> JobPage:
    return service.list_jobs(status=status, metadata=metadata, after=after, limit=limit)


@router.get("/{job_id}", summary="A job as it stands", responses=error_responses(401, 404, 422, 503))
def get_job(job_id: JobId) -> JobOut:
    return service.get_job(job_id)


@router.post("/{job_id}/cancel", summary="Cancel a job", responses=error_responses(401, 404, 409, 422, 503))
def cancel_job(job_id: JobId) -> JobOut:
    return service.cancel(job_id)


@router.get("/{job_id}/metrics", summary="Every value of every metric", responses=error_responses(401, 404, 422, 503))
def job_metrics(
    job_id: JobId,
    after: Annotated[str | None, Query(max_length=64, description="last_id of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> MetricPage:
    return service.metrics(job_id, after=after, limit=limit)


@router.get("/{job_id}/checkpoints", summary="Checkpoints, newest first", responses=error_responses(401, 404, 422, 503))
def job_checkpoints(job_id: JobId) -> CheckpointPage:
    return service.list_checkpoints(job_id)


@router.get("/{job_id}/logs", summary="What the trainer wrote", responses=error_responses(401, 404, 422, 503))
def job_logs(
    job_id: JobId,
    after: Annotated[str | None, Query(max_length=64, description="next of the page before")] = None,
) -> LogPage:
    return service.logs(job_id, after=after)
