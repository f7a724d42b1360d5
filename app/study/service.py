"""What the API can ask of studies: look, list, cancel."""

from sqlalchemy.orm import Session

from app import ids
from app.db import now, reading, transaction
from app.errors import Conflict, InvalidRequest, NotFound
from app.job import records
from app.model import service as models
from app.study import driver, repository
from app.study.models import Study
from app.study.presentation import sweeps_out, trial_out
from app.study.schemas import SweepOut, SweepPage, TrialPage
from app.study.settling import settle_within
from app.study.spec import SweepSpec
from app.study.states import TERMINAL, StudyRequest, StudyStatus


def require(session: Session, sweep_id: str) -> Study:
    """The study of that id. Raises NotFound."""
    study = repository.get(session, sweep_id) if ids.is_id(sweep_id, ids.SWEEP) else None
    if study is None:
        raise _not_found(sweep_id)
    return study


def require_locked(session: Session, sweep_id: str) -> Study:
    """The study, whose trials nobody else changes until the transaction ends. Raises NotFound, also when it is deleted just now."""
    require(session, sweep_id)
    study = repository.find_locked(session, sweep_id)
    if study is None:
        raise _not_found(sweep_id)
    return study


def _not_found(sweep_id: str) -> NotFound:
    return NotFound(f"There is no sweep {sweep_id!r}.", param="sweep_id", code="sweep_not_found")


def get_sweep(sweep_id: str) -> SweepOut:
    """Raises NotFound."""
    with reading() as session:
        (answer,) = sweeps_out(session, [require(session, sweep_id)])
    return answer


def list_sweeps(*, status: StudyStatus | None, after: str | None, limit: int) -> SweepPage:
    """Newest first; ``after`` is the id of the last sweep of the page before. Raises InvalidRequest if it is none."""
    if after is not None and not ids.is_id(after, ids.SWEEP):
        raise InvalidRequest(f"{after!r} is not the id of a sweep.", param="after", code="invalid_cursor")
    with reading() as session:
        rows = repository.page(session, status=status, after=after, limit=limit)
        data = sweeps_out(session, rows[:limit])
    return SweepPage(
        data=data,
        has_more=len(rows) > limit,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
    )


def list_trials(sweep_id: str, *, after: int | None, limit: int) -> TrialPage:
    """In the order of their numbers, those behind ``after``. Raises NotFound."""
    with reading() as session:
        study = require(session, sweep_id)
        rows = [row for row in repository.trials(session, sweep_id) if after is None or row[0].number > after]
        metric = SweepSpec.model_validate(study.spec).metric
        values = records.values_of(session, [job.id for _, job in rows[:limit] if job is not None], metric)
    return TrialPage(
        data=[trial_out(trial, job, values.get(trial.job_id or "", [])) for trial, job in rows[:limit]],
        has_more=len(rows) > limit,
        last_number=rows[:limit][-1][0].number if rows else after,
    )


def cancel(sweep_id: str) -> SweepOut:
    """Begin no further trial and cancel those under way; the best model until then stays.

    Raises NotFound, and Conflict when the sweep has succeeded or failed.
    """
    folders: list[str] = []
    with transaction() as session:
        study = require_locked(session, sweep_id)
        if study.status in TERMINAL and study.status != StudyStatus.CANCELLED:
            message = f"The sweep has already {study.status}; there is nothing to cancel."
            raise Conflict(message, code="sweep_is_over")
        if study.request is None:
            study.request, study.requested_at = StudyRequest.CANCEL, now(session)
            session.flush()
            folders = settle_within(session, study).folders
        (answer,) = sweeps_out(session, [study])
    for folder in folders:
        models.remove_folder(folder)
    driver.wake()
    return answer
