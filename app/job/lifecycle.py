"""How a job moves: claim, heartbeat, success, failure, requeue, and what the sweep does with lost ones.

At-least-once execution, exactly-once commit: every write of an attempt is guarded by its token, and raises ``ClaimLost``
when another attempt owns the job. Callers bring the session; only ``transaction()`` commits.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.orm import Session

from app import failpoints
from app.caller import DEFAULT_PROJECT
from app.config import get_settings
from app.db import now
from app.job import ending, events, records, repository, seats, turns
from app.job.hardware import Offer
from app.job.models import Attempt, Job
from app.job.repository import Claim
from app.job.states import TERMINAL, JobRequest, JobStatus, check_transition
from app.metrics import counting
from app.spec.kinds import JobKind

LONGEST_PAUSE_SECONDS: Final = 600.0
"""Before a job is tried again."""


class ClaimLost(Exception):
    """Another attempt owns the job, or it has ended; this one must stop and write nothing."""


@dataclass(frozen=True, kw_only=True)
class ClaimedJob:
    """What a worker needs to run an attempt."""

    claim: Claim
    spec: dict[str, Any]
    checkpoints: list[str]
    """Paths of committed checkpoints relative to the jobs folder, newest first."""
    ran_before_seconds: float
    """In all earlier attempts."""
    kind: JobKind = JobKind.TRAINING
    project_id: str = DEFAULT_PROJECT
    """Whose job it is, and whose Hub token it reads with."""
    trace_parent: str | None = None
    """Of the request that submitted it."""

    @property
    def nodes(self) -> int:
        """How many workers are to run it together."""
        return int(self.spec.get("resources", {}).get("nodes", 1))


def claim_next(
    session: Session,
    *,
    worker_id: str,
    offer: Offer | None = None,
    max_nodes: int | None = None,
    least_priority: int | None = None,
) -> ClaimedJob | None:
    """Claim the best eligible job of the project whose turn it is for this worker, or None.

    ``offer``: what the worker has; None: whatever jobs ask for. The limits: none that asks for more or has a lower priority.
    """
    turns.choose_alone(session)
    moment = now(session)
    fits = [] if offer is None else [offer.condition()]
    if max_nodes is not None:
        fits.append(Job.nodes <= max_nodes)
    job = repository.claim_next(
        session,
        worker_id=worker_id,
        now=moment,
        lease_until=_lease_end(moment),
        fits=fits,
        least_priority=least_priority,
    )
    if job is None:
        return None
    if job.attempt == 1:
        counting.observe(session, "wait", (moment - job.created_at).total_seconds(), job.kind)
    claim = Claim(job_id=job.id, attempt=job.attempt, token=job.token, worker_id=worker_id)
    session.add(Attempt(job_id=job.id, number=job.attempt, token=job.token, worker_id=worker_id, started_at=moment))
    message = (
        "A worker has taken the job." if job.attempt == 1 else f"A worker has taken the job (attempt {job.attempt})."
    )
    events.append(session, job.id, message, kind="status", data={"status": JobStatus.RUNNING, "attempt": job.attempt})
    saved = records.checkpoints(session, job.id, committed_only=True)
    failpoints.reach("claim.written")
    return ClaimedJob(
        claim=claim,
        kind=JobKind(job.kind),
        project_id=job.project_id,
        trace_parent=job.trace_parent,
        spec=job.spec,
        checkpoints=[checkpoint.path for checkpoint in saved],
        ran_before_seconds=sum(
            (earlier.ended_at - earlier.started_at).total_seconds()
            for earlier in repository.attempts(session, job.id)
            if earlier.ended_at is not None
        ),
    )


def tell_too_large(session: Session, *, gpus: int, told: Collection[str]) -> list[str]:
    """Tell waiting jobs that a worker with so many GPUs has too few for them; their ids.

    Those in ``told`` know it already.
    """
    too_large = repository.eligible_above(session, limits={"gpus": gpus}, now=now(session))
    for job in too_large:
        if job.id not in told:
            asked = job.spec["resources"]["processes"]
            events.append(
                session,
                job.id,
                f"The job asks for {asked} processes, each with a GPU of its own, and a worker that looked at it has "
                f"{gpus}: it waits for a worker with {asked}.",
                level="warn",
                data={"code": "too_few_gpus", "processes": asked, "gpus": gpus},
            )
    return [job.id for job in too_large]


def write(session: Session, claim: Claim, **values: Any) -> None:
    """Store columns of the job and renew the lease. Raises ClaimLost."""
    values["lease_until"] = _lease_end(now(session))
    if repository.update_claimed(session, claim, values) == 0:
        raise ClaimLost(claim)


def locked(session: Session, claim: Claim) -> Job:
    """The job of a claim that need not hold any more, unchanged by others until the transaction ends.

    Raises ClaimLost if it is deleted.
    """
    job = repository.find_locked(session, claim.job_id)
    if job is None:
        raise ClaimLost(claim)
    return job


def asked_for(session: Session, claim: Claim) -> JobRequest | None:
    """What the job's worker is to see to."""
    job = repository.get(session, claim.job_id)
    return None if job is None or job.request is None else JobRequest(job.request)


def succeed(
    session: Session,
    claim: Claim,
    *,
    model_id: str | None = None,
    result_files: Sequence[str] | None = None,
    **results: Any,
) -> None:
    """The one transition that publishes: call it in the transaction that inserts the model, or the files. Raises ClaimLost."""
    results |= {"model_id": model_id, "result_files": None if result_files is None else list(result_files)}
    _leave(session, claim, JobStatus.SUCCEEDED, outcome="succeeded", error=None, **results)
    data: dict[str, Any]
    made, data = f"its model is {model_id}", {"model": model_id}
    if model_id is None and result_files is not None:
        made, data = f"it has written {', '.join(result_files)}", {"result_files": list(result_files)}
    events.append(
        session,
        claim.job_id,
        f"The job has succeeded; {made}.",
        kind="status",
        data={"status": JobStatus.SUCCEEDED, **data},
    )


def fail(session: Session, claim: Claim, *, error: dict[str, Any], outcome: str = "failed", **values: Any) -> None:
    """Raises ClaimLost."""
    _leave(session, claim, JobStatus.FAILED, outcome=outcome, error=error, **values)
    events.append(
        session,
        claim.job_id,
        f"The job has failed: {error['message']}",
        level="error",
        kind="status",
        data={"status": JobStatus.FAILED, "error": error},
    )


def cancelled(session: Session, claim: Claim) -> None:
    """The trainer is gone; say so. Raises ClaimLost."""
    _leave(session, claim, JobStatus.CANCELLED, outcome="cancelled")
    events.append(session, claim.job_id, "The job was cancelled.", kind="status", data={"status": JobStatus.CANCELLED})


def drained(session: Session, claim: Claim) -> None:
    """Paused or cancelled, if that was asked for; else back to the queue. Costs no attempt of the budgets.

    Raises ClaimLost.
    """
    request = locked(session, claim).request
    if request == JobRequest.CANCEL:
        cancelled(session, claim)
        return
    if request == JobRequest.PAUSE:
        _pause(session, claim, outcome="paused")
        return
    _leave(session, claim, JobStatus.QUEUED, outcome="drained", not_before=now(session))
    events.append(
        session,
        claim.job_id,
        "The trainer has left with a checkpoint; the job goes on from it when a worker is free.",
        kind="status",
        data={"status": JobStatus.QUEUED},
    )


def ungathered(session: Session, claim: Claim, *, message: str, pause_seconds: float, data: dict[str, Any]) -> None:
    """Too few workers came to run it together: back to the queue. Costs no attempt of the budgets. Raises ClaimLost."""
    not_before = now(session) + timedelta(seconds=pause_seconds)
    _leave(session, claim, JobStatus.QUEUED, outcome="ungathered", not_before=not_before)
    events.append(
        session, claim.job_id, message, level="warn", kind="status", data={"status": JobStatus.QUEUED, **data}
    )


def crashed(session: Session, claim: Claim, *, code: str, message: str, hint: str | None = None) -> None:
    """The trainer died. Requeue, the first time at once and then with a growing pause, or fail; or do what was asked for.

    Raises ClaimLost.
    """
    settings = get_settings()
    job = locked(session, claim)
    if job.request == JobRequest.CANCEL:
        cancelled(session, claim)
        return
    crashes = job.num_crashes + 1
    if crashes >= settings.max_crashes:
        error = {"code": code, "message": f"{message} It happened {crashes} times.", "param": None, "hint": hint}
        fail(session, claim, error=error, outcome="crashed", num_crashes=crashes)
        return
    if job.request == JobRequest.PAUSE:
        _pause(session, claim, outcome="crashed", num_crashes=crashes)
        return
    pause = _pause_before_retry(crashes)
    not_before = now(session) + timedelta(seconds=pause)
    _leave(session, claim, JobStatus.QUEUED, outcome="crashed", not_before=not_before, num_crashes=crashes)
    events.append(
        session,
        claim.job_id,
        f"{message} The job is tried again{f' in {pause:.0f} s' if pause else ''}.",
        level="warn",
        kind="status",
        data={"status": JobStatus.QUEUED, "code": code, "crashes": crashes},
    )


def lost(session: Session, job: Job, *, reason: str) -> bool:
    """The worker of ``job``, whose row is locked, is gone: requeue or fail it. False if it runs no more, which is fine."""
    settings = get_settings()
    losses = job.num_losses + 1
    moment = now(session)
    status: JobStatus
    values: dict[str, Any]
    if job.request == JobRequest.CANCEL:
        status, values = JobStatus.CANCELLED, {"finished_at": moment}
        message = "The job was cancelled."
    elif losses >= settings.max_losses:
        error = {
            "code": "worker_lost",
            "message": f"{losses} workers were lost while they ran this job.",
            "param": None,
            "hint": "Look into the workers' logs, then submit the job again.",
        }
        status, values = JobStatus.FAILED, {"finished_at": moment, "error": error}
        message = str(error["message"])
    elif job.request == JobRequest.PAUSE:
        status, values = JobStatus.PAUSED, {"request": None, "requested_at": None}
        message = f"{reason} The job is paused."
    else:
        pause = _pause_before_retry(losses)
        status, values = JobStatus.QUEUED, {"not_before": moment + timedelta(seconds=pause)}
        message = f"{reason} The job goes back to the queue{f', for {pause:.0f} s at least' if pause else ''}."
    check_transition(JobStatus.RUNNING, status)
    released = {"status": status, "phase": None, "worker_id": None, "lease_until": None, "num_losses": losses}
    hit = repository.change_status(
        session, job.id, current=JobStatus.RUNNING, token=job.token, values={**released, **values}
    )
    if hit == 0:
        return False
    ending.tell(session, job.id, status)
    claim = Claim(job_id=job.id, attempt=job.attempt, token=job.token, worker_id=job.worker_id or "")
    _close_attempt(session, claim, outcome="lost", moment=moment)
    events.append(session, job.id, message, level="warn", kind="status", data={"status": status, "losses": losses})
    return True


def _pause_before_retry(failures: int) -> float:
    """Seconds; ``failures`` of a kind, this one counted."""
    if failures == 1:
        return 0.0
    return min(get_settings().retry_backoff_seconds * 2.0 ** (failures - 2), LONGEST_PAUSE_SECONDS)


def _pause(session: Session, claim: Claim, *, outcome: str, **values: Any) -> None:
    _leave(session, claim, JobStatus.PAUSED, outcome=outcome, request=None, requested_at=None, **values)
    events.append(session, claim.job_id, "The job is paused.", kind="status", data={"status": JobStatus.PAUSED})


def _leave(session: Session, claim: Claim, status: JobStatus, *, outcome: str, **values: Any) -> None:
    """End the attempt, and with a terminal status the job. Raises ClaimLost."""
    check_transition(JobStatus.RUNNING, status)
    moment = now(session)
    values |= {"status": status, "phase": None, "worker_id": None, "lease_until": None}
    if status in TERMINAL:
        values["finished_at"] = moment
    if repository.update_claimed(session, claim, values) == 0:
        raise ClaimLost(claim)
    ending.tell(session, claim.job_id, status)
    _close_attempt(session, claim, outcome=outcome, moment=moment)


def _close_attempt(session: Session, claim: Claim, *, outcome: str, moment: datetime) -> None:
    attempt = repository.attempt(session, claim)
    assert attempt is not None
    attempt.outcome = outcome
    counting.count(session, "attempts", outcome)
    attempt.ended_at = moment
    seats.clear(session, claim.job_id)


def _lease_end(moment: datetime) -> datetime:
    return moment + timedelta(seconds=get_settings().lease_seconds)
