"""When a job will start and finish, told from how long jobs like it took on this service.

A job's work is the number of examples that it trains on, each as often as it is seen, or of the rows that it predicts; an export
is work of one piece. Its duration is that work times the seconds that jobs of the same kind, model and task took for one, their
median; where there were none, nothing is foretold.
"""

import heapq
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.orm import Session

from app import caller
from app.config import get_settings
from app.db import now
from app.job import repository, turns
from app.job.models import Job
from app.job.states import JobStatus
from app.spec.kinds import JobKind

HISTORY: Final = 100
"""Of the jobs of each kind that succeeded last, so many are looked at."""
LOOKED_AHEAD: Final = 200
"""Further back in the queue nothing is foretold: it would be a guess upon guesses."""


Like = tuple[str, ...]
"""What jobs have in common that take as long for an example."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """None: it cannot be told."""

    start_at: datetime | None = None
    finish_at: datetime | None = None


NOTHING: Final = Forecast()


def forecast(session: Session, job: Job) -> Forecast:
    """Of a job that waits or runs; of any other there is nothing to foretell. Jobs of all projects share the workers."""
    with caller.acting_for(None):
        return _forecast(session, job)


def _forecast(session: Session, job: Job) -> Forecast:
    if job.status not in {JobStatus.QUEUED, JobStatus.RUNNING}:
        return NOTHING
    moment = now(session)
    if job.status == JobStatus.RUNNING and job.progress.get("eta_seconds") is not None:
        return Forecast(finish_at=_later(moment, float(job.progress["eta_seconds"])))
    history = [done for kind in JobKind for done in repository.succeeded_last(session, kind=kind, limit=HISTORY)]
    rates = _seconds_per_example(history)
    if job.status == JobStatus.RUNNING:
        seconds = _remaining(job, rates, moment=moment)
        return Forecast(finish_at=_later(moment, seconds))
    return _of_waiting(session, job, rates, moment=moment)


def _of_waiting(session: Session, job: Job, rates: Mapping[Like, float], *, moment: datetime) -> Forecast:
    """Let the jobs that are before it take the workers' slots as they become free."""
    seen_since = moment - timedelta(seconds=get_settings().lease_seconds)
    slots = repository.live_slots(session, seen_since=seen_since)
    ahead = turns.before(session, job, limit=LOOKED_AHEAD)
    if slots == 0 or ahead is None:
        return NOTHING
    busy = [_remaining(running, rates, moment=moment) for running in repository.running(session, limit=slots)]
    if any(seconds is None for seconds in busy):
        return NOTHING
    free_in = [seconds for seconds in busy if seconds is not None] + [0.0] * (slots - len(busy))
    heapq.heapify(free_in)
    for other in ahead:
        seconds = _duration(other, rates)
        if seconds is None:
            return NOTHING
        heapq.heappush(free_in, max(heapq.heappop(free_in), _waits(other, moment)) + seconds)
    start = max(free_in[0], _waits(job, moment))
    own = _duration(job, rates)
    return Forecast(start_at=_later(moment, start), finish_at=_later(moment, None if own is None else start + own))


def _seconds_per_example(jobs: Sequence[Job]) -> dict[Like, float]:
    """By kind, model and task."""
    measured: dict[Like, list[float]] = {}
    for job in jobs:
        work = _work(job)
        if work and job.started_at and job.finished_at:
            measured.setdefault(_like(job), []).append((job.finished_at - job.started_at).total_seconds() / work)
    return {like: statistics.median(rates) for like, rates in measured.items()}


def _remaining(job: Job, rates: Mapping[Like, float], *, moment: datetime) -> float | None:
    """Seconds until a running job ends: what its trainer says, else what is left of the usual time."""
    told = job.progress.get("eta_seconds")
    if told is not None:
        return float(told)
    whole = _duration(job, rates)
    if whole is None or job.started_at is None:
        return None
    return max(0.0, whole - (moment - job.started_at).total_seconds())


def _duration(job: Job, rates: Mapping[Like, float]) -> float | None:
    work, rate = _work(job), rates.get(_like(job))
    return None if work is None or rate is None else work * rate


def _work(job: Job) -> float | None:
    match JobKind(job.kind):
        case JobKind.TRAINING:
            return _examples_to_train(job)
        case JobKind.PREDICTION:
            return job.progress.get("max_steps")
        case JobKind.EXPORT:
            return 1


def _examples_to_train(job: Job) -> float | None:
    training = job.spec["training"]
    if training.get("max_steps", -1) > 0:
        batch = training["per_device_train_batch_size"]
        return None if batch == "auto" else training["max_steps"] * batch * training["gradient_accumulation_steps"]
    epochs, rows = training["num_train_epochs"], _num_rows(job.data_report)
    return None if epochs == "auto" or rows is None else epochs * rows


def _num_rows(data_report: Mapping[str, Any] | None) -> int | None:
    return None if data_report is None else data_report["splits"]["train"]["num_rows"]


def _like(job: Job) -> Like:
    """An export has no task, and no kind of job but training needs one: a finished model has only one."""
    return job.kind, job.spec["model"], job.spec.get("task", "")


def _waits(job: Job, moment: datetime) -> float:
    return max(0.0, (job.not_before - moment).total_seconds())


def _later(moment: datetime, seconds: float | None) -> datetime | None:
    return None if seconds is None else moment + timedelta(seconds=seconds)
