"""Sweeps: search for hyperparameters, watch, cancel."""

from typing import Annotated

from fastapi import APIRouter, Body, Header, Path, Query, Response, status

from app.api.errors import error_responses
from app.api.jobs import ResultsToo
from app.job.deletion import Results
from app.prediction.known import forget
from app.study import acceptance, deletion, service
from app.study.schemas import DeletedSweepOut, SweepOut, SweepPage, SweepValidationOut, TrialPage
from app.study.spec import SweepSpec
from app.study.states import StudyStatus

router = APIRouter(prefix="/sweeps", tags=["sweeps"])

SweepId = Annotated[str, Path(max_length=64, examples=["sweep-0199f0c3a4b27d6a8f4c2e0d9b1a5c7e"])]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="The same request sent again with the same key makes no second sweep, but is answered with the first",
    ),
]


@router.post(
    "",
    summary="Search for the best hyperparameters",
    status_code=status.HTTP_201_CREATED,
    responses={
        200: {"model": SweepValidationOut, "description": "With validate_only"},
        **error_responses(401, 413, 422, 429, 503),
    },
)
def create_sweep(
    response: Response,
    spec: Annotated[SweepSpec, Body()],
    validate_only: Annotated[bool, Query(description="Check and fill in the spec, but store nothing")] = False,  # noqa: FBT002
    idempotency_key: IdempotencyKey = None,
) -> SweepOut | SweepValidationOut:
    """Each trial is a job, begun when there is room for it; the best model answers by the sweep's id."""
    if validate_only:
        response.status_code = status.HTTP_200_OK
        return acceptance.validate(spec)
    accepted = acceptance.accept(spec, idempotency_key=idempotency_key)
    response.headers["location"] = f"/sweeps/{accepted.sweep.id}"
    if not accepted.is_new:
        response.headers["idempotent-replayed"] = "true"
    return accepted.sweep


@router.get("", summary="List sweeps, newest first", responses=error_responses(401, 422, 503))
def list_sweeps(
    status: Annotated[StudyStatus | None, Query()] = None,
    after: Annotated[str | None, Query(max_length=64, description="Id of the last sweep of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> SweepPage:
    return service.list_sweeps(status=status, after=after, limit=limit)


@router.get("/{sweep_id}", summary="A sweep as it stands", responses=error_responses(401, 404, 422, 503))
def get_sweep(sweep_id: SweepId) -> SweepOut:
    return service.get_sweep(sweep_id)


@router.get("/{sweep_id}/trials", summary="Its trials, in their order", responses=error_responses(401, 404, 422, 503))
def sweep_trials(
    sweep_id: SweepId,
    after: Annotated[int | None, Query(ge=-1, le=1_000_000, description="last_number of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> TrialPage:
    return service.list_trials(sweep_id, after=after, limit=limit)


@router.delete("/{sweep_id}", summary="Delete a sweep that is over", responses=error_responses(401, 404, 409, 422, 503))
def delete_sweep(sweep_id: SweepId, results: ResultsToo = Results.KEEP) -> DeletedSweepOut:
    """With its trials and their jobs. A sweep that is not over is cancelled first."""
    deleted = deletion.delete(sweep_id, results=results)
    forget()
    return deleted


@router.post("/{sweep_id}/cancel", summary="Cancel a sweep", responses=error_responses(401, 404, 409, 422, 503))
def cancel_sweep(sweep_id: SweepId) -> SweepOut:
    """No further trial is begun, those under way are cancelled; the best model until then stays."""
    return service.cancel(sweep_id)
