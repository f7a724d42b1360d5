"""``client.fine_tuning.jobs``: create, watch, cancel, pause, resume."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Response
from pydantic import ValidationError

from app.api.errors import error_responses, from_validation
from app.api.jobs import IdempotencyKey, JobId, created, metadata_filter
from app.errors import ServiceError
from app.job import requests
from app.openai import fine_tuning
from app.openai.job_request import IN_OPENAIS_WORDS, FineTuningRequest
from app.openai.jobs import FineTuningCheckpoint, FineTuningEvent, FineTuningJob, fine_tuning_job
from app.openai.pages import Page

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["OpenAI"])

_CHANGES = error_responses(401, 404, 409, 422, 503)


@router.post("", summary="Create a fine-tuning job", responses=error_responses(401, 413, 422, 429, 503))
def create_job(
    response: Response, request: Annotated[FineTuningRequest, Body()], idempotency_key: IdempotencyKey = None
) -> FineTuningJob:
    """All other fields of a job of `POST /jobs` are taken beside OpenAI's: send them as `extra_body`."""
    with told_in_openais_words():
        submitted = fine_tuning.create(request, idempotency_key=idempotency_key)
    return fine_tuning_job(created(response, submitted))


@contextmanager
def told_in_openais_words() -> Iterator[None]:
    """What is refused is named as a client of this surface has sent it."""
    try:
        yield
    except ValidationError as error:
        raise _renamed(from_validation(error.errors())) from error
    except ServiceError as error:
        raise _renamed(error) from error.__cause__


def _renamed(error: ServiceError) -> ServiceError:
    name = IN_OPENAIS_WORDS.get(error.param or "")
    if name is not None:
        error.message = error.message.replace(error.param or "", name)
        error.param = name
    error.problems = tuple(
        replace(problem, param=IN_OPENAIS_WORDS.get(problem.param or "", problem.param)) for problem in error.problems
    )
    return error


@router.get("", summary="List fine-tuning jobs, newest first", responses=error_responses(401, 422, 503))
def list_jobs(
    metadata: Annotated[dict[str, str], Depends(metadata_filter)],
    after: Annotated[str | None, Query(max_length=64, description="Id of the last job of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Page[FineTuningJob]:
    return fine_tuning.page(metadata=metadata, after=after, limit=limit)


@router.get("/{job_id}", summary="A fine-tuning job as it stands", responses=error_responses(401, 404, 422, 503))
def get_job(job_id: JobId) -> FineTuningJob:
    return fine_tuning.get(job_id)


@router.post("/{job_id}/cancel", summary="Cancel a job", responses=_CHANGES)
def cancel_job(job_id: JobId) -> FineTuningJob:
    return fine_tuning.change(job_id, requests.cancel)


@router.post("/{job_id}/pause", summary="Pause a job", responses=_CHANGES)
def pause_job(job_id: JobId) -> FineTuningJob:
    return fine_tuning.change(job_id, requests.pause)


@router.post("/{job_id}/resume", summary="Resume a paused job", responses={**_CHANGES, **error_responses(429)})
def resume_job(job_id: JobId) -> FineTuningJob:
    return fine_tuning.change(job_id, requests.resume)


@router.get("/{job_id}/events", summary="What happened, newest first", responses=error_responses(401, 404, 422, 503))
def list_events(
    job_id: JobId,
    after: Annotated[str | None, Query(max_length=96, description="Id of the last event of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> Page[FineTuningEvent]:
    return fine_tuning.events(job_id, after=after, limit=limit)


@router.get(
    "/{job_id}/checkpoints",
    summary="Checkpoints that are there, newest first",
    responses=error_responses(401, 404, 422, 503),
)
def list_checkpoints(
    job_id: JobId,
    after: Annotated[str | None, Query(max_length=64, description="Id of the last one of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
) -> Page[FineTuningCheckpoint]:
    return fine_tuning.checkpoints(job_id, after=after, limit=limit)
