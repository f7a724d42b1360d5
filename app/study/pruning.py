"""Show each evaluation of a trial to the pruner once, and end the job of a trial that it gives up."""

import contextlib

import structlog
from sqlalchemy.orm import Session

from app.db import now, reading, transaction
from app.errors import Conflict
from app.job import requests
from app.job.models import Job
from app.job.states import JobStatus
from app.study import history, optimizer, repository
from app.study.history import History
from app.study.models import Trial
from app.study.states import TERMINAL, TrialState

log = structlog.get_logger(__name__)


def prune(study_id: str) -> None:
    """Trials that are over are shown too: pruners that count in rungs compare others with them."""
    with reading() as session:
        study = repository.get(session, study_id)
        if study is None or study.status in TERMINAL:
            return
        seen = history.read(session, study)
    if seen.spec.pruner.type == "none" or seen.spec.direction == "auto":
        return
    for trial, job in seen.rows:
        if job is not None and len(seen.values_of(trial)) > trial.num_judged:
            _judge(seen, trial, job)


def _judge(seen: History, trial: Trial, job: Job) -> None:
    gives_up, attrs = optimizer.judge(seen.problem, seen.past, trial.number, num_judged=trial.num_judged)
    num_evaluations = len(seen.values_of(trial))
    gives_up = gives_up and _can_be_ended(trial, job) and not _is_at_its_end(seen, job)
    with transaction() as session:
        repository.get_locked(session, trial.study_id)
        current = repository.trial(session, trial.study_id, trial.number)
        if current is None or current.num_judged != trial.num_judged or current.pruned_at is not None:
            return  # somebody else has judged it
        current.num_judged, current.optuna_attrs = num_evaluations, attrs
        if gives_up and current.state == TrialState.RUNNING:
            with contextlib.suppress(Conflict):  # it has ended just now, and its value counts
                _end(session, current, num_evaluations=num_evaluations)


def _can_be_ended(trial: Trial, job: Job) -> bool:
    return trial.state == TrialState.RUNNING and job.status == JobStatus.RUNNING and job.request is None


def _is_at_its_end(seen: History, job: Job) -> bool:
    """Nothing is left to be saved: its value tells the sampler more than that it was ended."""
    last_step = seen.evaluations[job.id][-1][0]
    max_steps = job.progress.get("max_steps")
    return max_steps is not None and last_step >= max_steps


def _end(session: Session, trial: Trial, *, num_evaluations: int) -> None:
    assert trial.job_id is not None
    told = f"The sweep ends this trial: after {num_evaluations} evaluations it promises less than others."
    requests.cancel_within(session, trial.job_id, told=told)
    trial.pruned_at = now(session)
    log.info("trial pruned", study_id=trial.study_id, number=trial.number, job_id=trial.job_id)
