"""Begin the next trial: Optuna proposes, the job is checked as any other, and both are stored at once."""

from typing import Any

import structlog
from pydantic import ValidationError
from sqlalchemy.orm import Session

from app import failpoints
from app.clock import utc_now
from app.db import reading, transaction
from app.errors import ServiceError, Unavailable
from app.job import acceptance, submission
from app.job.acceptance import NewJob
from app.spec.job import JobSpec
from app.study import history, optimizer, repository, search_space
from app.study.history import History
from app.study.models import Study, Trial
from app.study.settling import is_out_of_time
from app.study.states import TERMINAL, TrialState
from app.task_queue import wake_workers

log = structlog.get_logger(__name__)


def begin_next(study_id: str) -> bool:
    """Whether one more trial was begun, or was refused before it became a job. Raises DBAPIError."""
    with reading() as session:
        study = repository.get(session, study_id)
        if study is None or not _may_begin(session, seen := history.read(session, study)):
            return False
    number = len(seen.rows)
    params, attrs = optimizer.propose(seen.problem, seen.past)
    trial = Trial(
        study_id=study_id, number=number, params=params, state=TrialState.RUNNING, optuna_attrs=attrs, num_judged=0
    )
    try:
        new = submission.prepare(JobSpec.model_validate(search_space.applied(study.base_spec, params)))
        failpoints.reach("trial.checked")
        begun = _store(trial, new)
    except Unavailable as error:
        log.warning("a trial cannot be begun just now", study_id=study_id, number=number, error=error.message)
        return False
    except (ServiceError, ValidationError) as error:
        return _store_refused(trial, _as_error(error))
    failpoints.reach("trial.stored")
    if begun:
        log.info("trial begun", study_id=study_id, number=number, params=params)
        wake_workers()
    return begun


def _may_begin(session: Session, seen: History) -> bool:
    study, spec = seen.study, seen.spec
    if study.status in TERMINAL or study.request is not None or study.error is not None:
        return False
    if len(seen.rows) >= int(spec.num_trials) or is_out_of_time(session, study, spec):
        return False
    return sum(trial.state == TrialState.RUNNING for trial, _ in seen.rows) < spec.max_parallel


def _store(trial: Trial, new: NewJob) -> bool:
    """The trial with its job, unless somebody else was quicker. Raises InvalidRequest if a file of the job is gone."""
    with transaction() as session:
        if not _is_next(session, trial):
            return False
        trial.job_id = acceptance.store(session, new, study_id=trial.study_id).id
        trial.created_at = utc_now()
        session.add(trial)
        session.flush()
        failpoints.reach("trial.written")
    return True


def _store_refused(trial: Trial, error: dict[str, Any]) -> bool:
    refused = Trial(
        study_id=trial.study_id,
        number=trial.number,
        params=trial.params,
        state=TrialState.FAILED,
        error=error,
        created_at=utc_now(),
        finished_at=utc_now(),
        num_judged=0,
        optuna_attrs=trial.optuna_attrs,
    )
    with transaction() as session:
        if not _is_next(session, refused):
            return False
        session.add(refused)
    log.warning("trial refused", study_id=trial.study_id, number=trial.number, error=error["message"])
    return True


def _is_next(session: Session, trial: Trial) -> bool:
    """Locks the study's row: what is true now stays true until the commit."""
    study: Study = repository.get_locked(session, trial.study_id)
    seen = history.read(session, study)
    return len(seen.rows) == trial.number and _may_begin(session, seen)


def _as_error(error: ServiceError | ValidationError) -> dict[str, Any]:
    if isinstance(error, ServiceError):
        return error.as_job_error()
    first = error.errors()[0]
    return {
        "code": "invalid_value",
        "message": str(first["msg"]).removeprefix("Value error, "),
        "param": ".".join(map(str, first["loc"])) or None,
        "hint": None,
    }
