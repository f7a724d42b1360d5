"""Rows of jobs against each other: states, claims, events, and the ledger of steps."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.config import get_settings
from app.db import now, reading
from app.job.models import Attempt, Job, JobEvent, NodeSeat
from app.job.seats import SeatState
from app.job.states import TERMINAL, JobStatus
from app.spec.kinds import JobKind, stored_spec
from app.verify.finding import Finding

PAGE: Final = 500
SWEEPS: Final = 3
"""A lease that has ended may stand so many sweeps longer: one process sees it, another may be late."""


def check_all() -> Iterator[Finding]:
    after = ""
    while True:
        with reading() as session:
            ids = session.scalars(select(Job.id).where(Job.id > after).order_by(Job.id).limit(PAGE)).all()
        for job_id in ids:
            yield from _check_readable(job_id)
        if len(ids) < PAGE:
            return
        after = ids[-1]


def _check_readable(job_id: str) -> Iterator[Finding]:
    """A row that somebody has damaged is found like anything else that is wrong."""
    try:
        with reading() as session:
            job = session.get_one(Job, job_id)
            stored_spec(job.kind, job.spec)
            found = list(check_job(session, job, moment=now(session)))
    except ValueError as error:
        message = f"The row of the job cannot be read: {str(error).splitlines()[0]}."
        found = [Finding(subject=job_id, kind="row_unreadable", message=message)]
    yield from found


def check_job(session: Session, job: Job, *, moment: datetime) -> Iterator[Finding]:
    attempts = session.scalars(select(Attempt).where(Attempt.job_id == job.id).order_by(Attempt.number)).all()
    yield from _check_state(job, moment=moment)
    yield from _check_attempts(job, attempts)
    yield from _check_events(session, job)
    yield from _check_seats(session, job)
    if job.status == JobStatus.SUCCEEDED:
        yield from _check_steps(job, attempts)


def _check_state(job: Job, *, moment: datetime) -> Iterator[Finding]:
    status = JobStatus(job.status)
    claimed = job.worker_id is not None and job.lease_until is not None
    if status == JobStatus.RUNNING:
        settings = get_settings()
        patience = timedelta(seconds=settings.lease_seconds + SWEEPS * settings.sweep_seconds)
        if not claimed or job.lease_until is None:
            yield _about(job, "running_without_claim", "is running, and no worker has it")
        elif moment > job.lease_until + patience:
            yield _about(job, "stuck", f"is running, and its lease ended at {job.lease_until.isoformat()}")
    elif job.worker_id is not None or job.lease_until is not None:
        yield _about(job, "claimed_without_running", f"is {status}, and a worker still has it")
    if (status in TERMINAL) != (job.finished_at is not None):
        yield _about(job, "end_without_time", f"is {status}, and its end is {job.finished_at}")
    made = job.model_id if job.kind == JobKind.TRAINING else job.result_files
    if (status == JobStatus.SUCCEEDED) != bool(made):
        yield _about(job, "model_without_success", f"is {status}, and its result is {made}")
    if (status == JobStatus.FAILED) != (job.error is not None):
        yield _about(job, "error_without_failure", f"is {status}, and its error is {job.error}")


def _check_attempts(job: Job, attempts: Sequence[Attempt]) -> Iterator[Finding]:
    if [attempt.number for attempt in attempts] != list(range(1, job.attempt + 1)):
        yield _about(job, "attempts_missing", f"had {job.attempt} attempts, and {len(attempts)} are recorded")
        return
    tokens = [attempt.token for attempt in attempts]
    if any(later <= earlier for earlier, later in pairwise(tokens)):
        yield _about(job, "tokens_not_growing", f"has attempts with the tokens {tokens}")
    unfinished = [attempt.number for attempt in attempts if attempt.ended_at is None]
    expected = [job.attempt] if job.status == JobStatus.RUNNING else []
    if unfinished != expected:
        yield _about(job, "attempt_open", f"is {job.status}, and its attempts {unfinished} have not ended")


def _check_events(session: Session, job: Job) -> Iterator[Finding]:
    count, last = session.execute(
        select(func.count(), func.max(JobEvent.number)).where(JobEvent.job_id == job.id)
    ).one()
    if not count == (last or 0) == job.last_event_number:
        yield _about(
            job,
            "events_with_gaps",
            f"has {count} events, numbered up to {last}, of {job.last_event_number} that were told",
        )


def _check_seats(session: Session, job: Job) -> Iterator[Finding]:
    """Only the attempt that runs has any, and those that wait for nobody are taken."""
    seats = session.scalars(select(NodeSeat).where(NodeSeat.job_id == job.id)).all()
    left = [seat for seat in seats if job.status != JobStatus.RUNNING or seat.token != job.token]
    if left:
        yield _about(job, "seats_left", f"is {job.status}, and has {len(left)} seats of an attempt that is over")
    started = any(seat.endpoint is not None for seat in seats)
    if any((seat.worker_id is None) != (seat.state == SeatState.FREE) for seat in seats) or (
        started and any(seat.state == SeatState.FREE for seat in seats)
    ):
        told = [(seat.node_rank, seat.state, seat.worker_id) for seat in seats]
        yield _about(job, "seats_inconsistent", f"has seats that do not fit together: {told}")


def _check_steps(job: Job, attempts: Sequence[Attempt]) -> Iterator[Finding]:
    """Steps are done once each: an attempt begins where one before it had been, and the last one reached the end."""
    reached = 0
    for attempt in attempts:
        if attempt.resumed_from_step is None or attempt.last_step is None:
            continue  # it ended before it trained
        if attempt.resumed_from_step > reached:
            message = f"skipped steps: attempt {attempt.number} began after {attempt.resumed_from_step} of {reached}"
            yield _about(job, "steps_skipped", message)
        reached = attempt.last_step  # what an earlier one did beyond was thrown away
    told = job.progress.get("step")
    if told is None or reached < told:
        yield _about(job, "steps_missing", f"reached step {told}, and its attempts are recorded up to {reached}")


def _about(job: Job, kind: str, message: str) -> Finding:
    return Finding(subject=job.id, kind=kind, message=f"The job {message}.")
