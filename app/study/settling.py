"""Take in what the jobs of a study have come to, and end the study when nothing is left to do."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import structlog
from sqlalchemy.orm import Session

from app.db import now, transaction
from app.errors import Conflict
from app.job import requests
from app.job.models import Job
from app.job.states import TERMINAL as JOB_IS_OVER
from app.job.states import JobStatus
from app.model import service as models
from app.spec.metrics import is_greater_better
from app.study import repository, search_space
from app.study.history import is_better
from app.study.models import Study, Trial
from app.study.spec import SweepSpec
from app.study.states import TERMINAL, StudyStatus, TrialState, check_transition

log = structlog.get_logger(__name__)

MOST_FAILURES: Final = 5
"""Failed trials one after the other that end a study: then it is not for their parameters."""

Rows = Sequence[tuple[Trial, Job | None]]


@dataclass(kw_only=True)
class Settled:
    """What came of it."""

    is_over: bool
    num_ended: int = 0
    """Trials that have been found to be over."""
    folders: list[str] = field(default_factory=list)
    """Of models whose rows are gone; to be removed after the commit."""


def settle(study_id: str) -> Settled:
    """In a transaction of its own; then the files of models that are not kept are removed.

    A crash between the two leaves folders that no row knows, which the sweep for strays removes.
    """
    with transaction() as session:
        settled = settle_within(session, repository.get_locked(session, study_id))
    for folder in settled.folders:
        models.remove_folder(folder)
    return settled


def settle_within(session: Session, study: Study) -> Settled:
    """The same in the caller's transaction, which holds the lock of the study's row and removes the folders."""
    settled = Settled(is_over=study.status in TERMINAL)
    if settled.is_over:
        return settled
    rows = repository.trials(session, study.id)
    _note_start(study, rows)
    _fill_in_metric(study, rows)
    spec = SweepSpec.model_validate(study.spec)
    settled.num_ended = _take_in(rows, spec)
    if study.error is None:
        study.error = _too_many_failures(rows)
    if study.error is not None or study.request is not None:
        _cancel_jobs(session, rows)
        rows = repository.trials(session, study.id)
        settled.num_ended += _take_in(rows, spec)
    study.best_number = _best_number(rows, spec)
    if spec.keep_models == "best":
        settled.folders = _discard_models(session, study, rows)
    settled.is_over = _end_if_done(session, study, rows, spec)
    session.flush()
    return settled


def _note_start(study: Study, rows: Rows) -> None:
    if study.started_at is None:
        starts = [job.started_at for _, job in rows if job is not None and job.started_at is not None]
        if starts:
            study.started_at = min(starts)
            _change(study, StudyStatus.RUNNING)


def _fill_in_metric(study: Study, rows: Rows) -> None:
    """Of Hub data a trainer is the first to see what is measured: what the first one chose holds for all."""
    if study.spec["metric"] != "auto":
        return
    found = next(
        (
            job.spec["training"]
            for _, job in rows
            if job is not None and job.spec["training"]["metric_for_best_model"] != "auto"
        ),
        None,
    )
    if found is None:
        return
    name = str(found["metric_for_best_model"])
    direction = study.spec["direction"]
    if direction == "auto":
        direction = "maximize" if is_greater_better(name) else "minimize"
    study.spec = study.spec | {"metric": f"eval/{name}", "direction": direction}
    chosen = {"training.metric_for_best_model": name, "training.greater_is_better": direction == "maximize"}
    study.base_spec = search_space.applied(study.base_spec, chosen)


def _take_in(rows: Rows, spec: SweepSpec) -> int:
    """How many trials have ended since."""
    ended = 0
    for trial, job in rows:
        if trial.state != TrialState.RUNNING or job is None or job.status not in JOB_IS_OVER:
            continue
        ended += 1
        trial.finished_at = job.finished_at
        match JobStatus(job.status):
            case JobStatus.SUCCEEDED:
                _take_in_value(trial, job, metric=spec.metric)
            case JobStatus.FAILED:
                trial.state, trial.error = TrialState.FAILED, job.error
            case _:
                trial.state = TrialState.PRUNED if trial.pruned_at is not None else TrialState.CANCELLED
    return ended


def _take_in_value(trial: Trial, job: Job, *, metric: str) -> None:
    """Of the model that was published: the one that can be asked."""
    measured = job.best_metrics or {}
    if metric in measured:
        trial.state, trial.value = TrialState.COMPLETE, float(measured[metric])
        return
    names = ", ".join(name for name in measured if name.startswith("eval/"))
    trial.state = TrialState.FAILED
    trial.error = {
        "code": "metric_not_measured",
        "message": f"The job has not measured {metric}, only {names}.",
        "param": "metric",
        "hint": "Add it to job.metrics, or take another.",
    }


def _too_many_failures(rows: Rows) -> dict[str, Any] | None:
    """The error of a study of which the last trials have all failed."""
    told = {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED}
    last = [trial for trial, _ in rows if trial.state in told][-MOST_FAILURES:]
    if len(last) < MOST_FAILURES or any(trial.state != TrialState.FAILED for trial in last):
        return None
    return _as_last(f"{MOST_FAILURES} trials failed one after the other.", last[-1])


def _as_last(message: str, trial: Trial) -> dict[str, Any]:
    error = trial.error or {
        "code": "no_trial_succeeded",
        "message": "It is not known why.",
        "param": None,
        "hint": None,
    }
    return error | {"message": f"{message} Trial {trial.number}: {error['message']}"}


def _cancel_jobs(session: Session, rows: Rows) -> None:
    for trial, job in rows:
        if trial.state == TrialState.RUNNING and job is not None and job.status not in JOB_IS_OVER:
            with contextlib.suppress(Conflict):  # it has ended just now
                requests.cancel_within(session, job.id, told="The sweep that this job is a trial of is ending.")


def _best_number(rows: Rows, spec: SweepSpec) -> int | None:
    """Of equal ones the first."""
    best: Trial | None = None
    for trial, _ in rows:
        if trial.state != TrialState.COMPLETE or trial.value is None:
            continue
        if best is None or best.value is None or is_better(trial.value, best.value, spec):
            best = trial
    return None if best is None else best.number


def _discard_models(session: Session, study: Study, rows: Rows) -> list[str]:
    """Delete the models of trials that others are better than. What is not the best now never will be again."""
    worse = [
        trial.job_id
        for trial, _ in rows
        if trial.number != study.best_number and trial.job_id and trial.value is not None
    ]
    return models.discard_within(session, repository.models_of_jobs(session, worse)) if worse else []


def _end_if_done(session: Session, study: Study, rows: Rows, spec: SweepSpec) -> bool:
    if any(trial.state == TrialState.RUNNING for trial, _ in rows):
        return False
    if study.error is not None:
        status = StudyStatus.FAILED
    elif study.request is not None:
        status = StudyStatus.CANCELLED
    elif len(rows) < int(spec.num_trials) and not is_out_of_time(session, study, spec):
        return False
    elif study.best_number is not None:
        status = StudyStatus.SUCCEEDED
    else:
        status = StudyStatus.FAILED
        study.error = _without_value(rows)
    if study.status == StudyStatus.QUEUED and status == StudyStatus.SUCCEEDED:
        _change(study, StudyStatus.RUNNING)
    _change(study, status)
    study.finished_at = now(session)
    log.info("study ended", study_id=study.id, status=status, num_trials=len(rows))
    return True


def _without_value(rows: Rows) -> dict[str, Any]:
    failed = [trial for trial, _ in rows if trial.state == TrialState.FAILED]
    if failed:
        return _as_last(f"None of {len(rows)} trials has succeeded.", failed[-1])
    return {
        "code": "no_trial_succeeded",
        "message": f"None of {len(rows)} trials has succeeded.",
        "param": None,
        "hint": "Their jobs were cancelled, or pruned: look at GET /sweeps/{sweep_id}/trials.",
    }


def is_out_of_time(session: Session, study: Study, spec: SweepSpec) -> bool:
    """By the database's clock."""
    if spec.max_runtime_seconds is None or study.started_at is None:
        return False
    return now(session) >= study.started_at + timedelta(seconds=spec.max_runtime_seconds)


def _change(study: Study, status: StudyStatus) -> None:
    check_transition(StudyStatus(study.status), status)
    study.status = status
