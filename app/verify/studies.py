"""Studies against their trials, and trials against their jobs."""

from collections.abc import Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import reading
from app.job.models import Job
from app.job.states import TERMINAL as JOB_IS_OVER
from app.job.states import JobStatus
from app.study import repository
from app.study.models import Study, Trial
from app.study.states import TERMINAL, StudyStatus, TrialState
from app.verify.finding import Finding


def check_all() -> Iterator[Finding]:
    with reading() as session:
        study_ids = session.scalars(select(Study.id).order_by(Study.id)).all()
    for study_id in study_ids:
        with reading() as session:
            found = list(_check(session, session.get_one(Study, study_id)))
        yield from found
    with reading() as session:
        query = select(Job.id).outerjoin(Trial, Trial.job_id == Job.id)
        orphans = session.scalars(query.where(Job.study_id.is_not(None), Trial.job_id.is_(None))).all()
    for job_id in orphans:
        yield Finding(
            subject=job_id, kind="job_of_no_trial", message="The job is told to be a trial, and no trial has it."
        )


def _check(session: Session, study: Study) -> Iterator[Finding]:
    rows = repository.trials(session, study.id)
    yield from _check_state(study, rows)
    if [trial.number for trial, _ in rows] != list(range(len(rows))):
        yield _about(study, "trials_missing", f"has the trials {[trial.number for trial, _ in rows]}")
    for trial, job in rows:
        yield from _check_trial(study, trial, job)


def _check_state(study: Study, rows: Sequence[tuple[Trial, Job | None]]) -> Iterator[Finding]:
    is_over = study.status in TERMINAL
    if is_over != (study.finished_at is not None):
        yield _about(study, "end_without_time", f"is {study.status}, and its end is {study.finished_at}")
    if is_over and any(trial.state == TrialState.RUNNING for trial, _ in rows):
        yield _about(study, "trial_left", f"is {study.status}, and a trial of it is not over")
    if (study.status == StudyStatus.FAILED) != (study.error is not None and is_over):
        yield _about(study, "error_without_failure", f"is {study.status}, and its error is {study.error}")
    complete = {trial.number for trial, _ in rows if trial.state == TrialState.COMPLETE}
    if study.best_number is not None and study.best_number not in complete:
        yield _about(study, "best_missing", f"has trial {study.best_number} as its best, which is not complete")
    if study.status == StudyStatus.SUCCEEDED and study.best_number is None:
        yield _about(study, "best_missing", "has succeeded, and has no best trial")


def _check_trial(study: Study, trial: Trial, job: Job | None) -> Iterator[Finding]:
    name = f"trial {trial.number}"
    if job is None:
        if trial.state != TrialState.FAILED:
            yield _about(study, "trial_without_job", f"has {name}, which is {trial.state} and has no job")
        return
    if job.study_id != study.id:
        yield _about(study, "trial_of_other_job", f"has {name}, whose job {job.id} does not know it")
    if trial.state != TrialState.RUNNING and job.status not in JOB_IS_OVER:
        yield _about(study, "trial_before_job", f"has {name}, which is {trial.state} while {job.id} is {job.status}")
    if (trial.state == TrialState.COMPLETE) != (trial.value is not None):
        yield _about(study, "value_missing", f"has {name}, which is {trial.state} with the value {trial.value}")
    if trial.state == TrialState.COMPLETE and job.status != JobStatus.SUCCEEDED:
        yield _about(study, "trial_before_job", f"has {name}, which is complete, and {job.id} is {job.status}")


def _about(study: Study, kind: str, message: str) -> Finding:
    return Finding(subject=study.id, kind=kind, message=f"The sweep {message}.")
