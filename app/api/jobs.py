"""Jobs: submit, watch, cancel."""

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, Response, status
from pydantic import ValidationError

from app.api.errors import error_responses, from_validation
from app.errors import InvalidRequest
from app.job import deletion, mistakes, requests, retry, service, submission
from app.job.acceptance import Submitted
from app.job.deletion import Results
from app.job.schemas import (
    CheckpointPage,
    DeletedJobOut,
    JobOut,
    JobPage,
    LogPage,
    MetricPage,
    MistakePage,
    ValidationOut,
)
from app.job.states import JobStatus
from app.prediction.known import forget
from app.spec.job import JobSpec
from app.spec.kinds import JobKind

router = APIRouter(prefix="/jobs", tags=["jobs"])

JobId = Annotated[str, Path(max_length=64, examples=["ftjob-0199f0c3a4b27d6a8f4c2e0d9b1a5c7e"])]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="The same request sent again with the same key makes no second job, but is answered with the first",
    ),
]
ResultsToo = Annotated[Results, Query(description="Whether the model and the files that it made stay, or go too")]
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
    idempotency_key: IdempotencyKey = None,
) -> JobOut | ValidationOut:
    if validate_only:
        response.status_code = status.HTTP_200_OK
        return submission.validate(spec)
    return created(response, submission.submit(spec, idempotency_key=idempotency_key))


@router.post(
    "/{job_id}/retry",
    summary="Submit a job again",
    status_code=status.HTTP_201_CREATED,
    responses=error_responses(401, 404, 409, 413, 422, 429, 503),
)
def retry_job(
    job_id: JobId,
    response: Response,
    changes: Annotated[
        dict[str, Any] | None,
        Body(description="Members of the spec that are to be others", examples=[{"training": {"learning_rate": 2e-5}}]),
    ] = None,
    idempotency_key: IdempotencyKey = None,
) -> JobOut:
    """A new job from the same spec as it was sent, with the changes merged into it."""
    try:
        submitted = retry.retry(job_id, changes or {}, idempotency_key=idempotency_key)
    except ValidationError as error:
        raise from_validation(error.errors()) from error
    return created(response, submitted)


def created(response: Response, submitted: Submitted) -> JobOut:
    """The answer to a job's submission: where it is, and whether the same request had made it before."""
    response.headers["location"] = f"/jobs/{submitted.job.id}"
    if not submitted.is_new:
        response.headers["idempotent-replayed"] = "true"
    return submitted.job


@router.get("", summary="List jobs, newest first", responses=error_responses(401, 422, 503))
def list_jobs(
    metadata: Annotated[dict[str, str], Depends(metadata_filter)],
    status: Annotated[JobStatus | None, Query()] = None,
    kind: Annotated[JobKind | None, Query()] = None,
    sweep_id: Annotated[str | None, Query(pattern="^sweep-[0-9a-f]{32}$", description="Trials of that sweep")] = None,
    after: Annotated[str | None, Query(max_length=64, description="Id of the last job of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> JobPage:
    return service.list_jobs(status=status, kind=kind, metadata=metadata, sweep_id=sweep_id, after=after, limit=limit)


@router.get("/{job_id}", summary="A job as it stands", responses=error_responses(401, 404, 422, 503))
def get_job(job_id: JobId) -> JobOut:
    return service.get_job(job_id)


@router.delete("/{job_id}", summary="Delete a job that is over", responses=error_responses(401, 404, 409, 422, 503))
def delete_job(job_id: JobId, results: ResultsToo = Results.KEEP) -> DeletedJobOut:
    """With its events, metrics, mistakes, checkpoints and logs. A job that is not over is cancelled first."""
    deleted = deletion.delete(job_id, results=results)
    forget()
    return deleted


@router.post("/{job_id}/cancel", summary="Cancel a job", responses=error_responses(401, 404, 409, 422, 503))
def cancel_job(job_id: JobId) -> JobOut:
    """A waiting job is cancelled at once, a running one when its trainer is gone. Takes the place of any other request."""
    return requests.cancel(job_id)


@router.post("/{job_id}/pause", summary="Pause a job", responses=error_responses(401, 404, 409, 422, 503))
def pause_job(job_id: JobId) -> JobOut:
    """A running job writes a checkpoint at its next step and gives its slot back; nothing is computed twice."""
    return requests.pause(job_id)


@router.post("/{job_id}/resume", summary="Resume a paused job", responses=error_responses(401, 404, 409, 422, 429, 503))
def resume_job(job_id: JobId) -> JobOut:
    """It goes on from its checkpoint, with the same weights in the end as if it had never been paused."""
    return requests.resume(job_id)


@router.post(
    "/{job_id}/stop", summary="Stop and keep the best model", responses=error_responses(401, 404, 409, 422, 429, 503)
)
def stop_job(job_id: JobId) -> JobOut:
    """The weights of the last step are evaluated, and the best model so far is published: the job succeeds."""
    return requests.stop(job_id)


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


@router.get(
    "/{job_id}/mistakes",
    summary="What the finished model got wrong, worst first",
    responses=error_responses(401, 404, 422, 503),
)
def job_mistakes(
    job_id: JobId,
    split: Annotated[Literal["validation", "test"], Query()] = "validation",
    label: Annotated[
        str | None, Query(max_length=256, description="Only where this is right and was not found")
    ] = None,
    predicted: Annotated[
        str | None, Query(max_length=256, description="Only where this was found and is not right")
    ] = None,
    after: Annotated[str | None, Query(max_length=64, description="last_id of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> MistakePage:
    return mistakes.list_mistakes(job_id, split=split, label=label, predicted=predicted, after=after, limit=limit)


@router.get("/{job_id}/logs", summary="What the trainer wrote", responses=error_responses(401, 404, 422, 503))
def job_logs(
    job_id: JobId,
    after: Annotated[str | None, Query(max_length=64, description="next of the page before")] = None,
    node: Annotated[int, Query(ge=0, le=2**31 - 1, description="Of a job of several nodes: whose log; 0 leads")] = 0,
) -> LogPage:
    return service.logs(job_id, after=after, node=node)
