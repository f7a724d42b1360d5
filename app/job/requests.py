"""What may be asked of a job: cancel, pause, resume, stop.

What waits is changed at once. What runs is only asked: its worker sees to it, and the state changes when it is true. Asking
for the same twice is no error, so that a client may repeat what it got no answer to.
"""

from sqlalchemy.orm import Session

from app.db import now, transaction
from app.errors import Conflict
from app.job import ending, events, quota, repository
from app.job.models import Job
from app.job.presentation import job_out
from app.job.schemas import JobOut
from app.job.service import require, require_locked
from app.job.states import TERMINAL, JobRequest, JobStatus, check_transition
from app.spec.kinds import JobKind
from app.task_queue import wake_workers

_ASKED = {
    JobRequest.CANCEL: "Cancelling was asked for.",
    JobRequest.PAUSE: "Pausing was asked for: at the next step a checkpoint is written.",
    JobRequest.STOP: "Stopping was asked for: the best model so far is published.",
}


def cancel(job_id: str) -> JobOut:
    """End a job without a model. Takes the place of any other request.

    Raises NotFound, and Conflict when the job has succeeded or failed.
    """
    with transaction() as session:
        cancel_within(session, job_id)
        return _answer(session, job_id)


def cancel_within(session: Session, job_id: str, *, told: str | None = None) -> None:
    """The same as part of a larger change. ``told``: why, as an event. Raises as ``cancel`` does."""
    job = _locked(session, job_id)
    status = JobStatus(job.status)
    if status in TERMINAL and status != JobStatus.CANCELLED:
        raise _is_over(status, "cancel")
    if told is not None and status != JobStatus.CANCELLED:
        events.append(session, job_id, told)
    if status == JobStatus.RUNNING:
        _ask(session, job, JobRequest.CANCEL)
    elif status != JobStatus.CANCELLED:
        moment = now(session)
        _change(session, job, JobStatus.CANCELLED, finished_at=moment, request=JobRequest.CANCEL, requested_at=moment)
        _tell(session, job, "The job was cancelled.", JobStatus.CANCELLED)


def pause(job_id: str) -> JobOut:
    """Keep a job from running until ``resume``; a running one writes a checkpoint first.

    Raises NotFound, and Conflict when the job is over or was asked for something else.
    """
    with transaction() as session:
        job = _locked(session, job_id)
        status = JobStatus(job.status)
        if status in TERMINAL:
            raise _is_over(status, "pause")
        if status == JobStatus.RUNNING:
            _refuse_another(job, JobRequest.PAUSE)
            _ask(session, job, JobRequest.PAUSE)
        elif status == JobStatus.QUEUED:
            _refuse_another(job, JobRequest.PAUSE)
            _change(session, job, JobStatus.PAUSED)
            _tell(session, job, "The job was paused.", JobStatus.PAUSED)
        return _answer(session, job_id)


def resume(job_id: str) -> JobOut:
    """Put a paused job back into the queue, or withdraw the request of a running one to pause. Else nothing changes.

    Raises NotFound, Conflict when the job is over or was asked for something else, and TooManyRequests when too many jobs of
    the project are waiting.
    """
    with transaction() as session:
        job = _locked(session, job_id)
        status = JobStatus(job.status)
        if status in TERMINAL:
            raise _is_over(status, "resume")
        _refuse_another(job, JobRequest.PAUSE)
        if status == JobStatus.PAUSED:
            quota.refuse_beyond(session)
            _change(session, job, JobStatus.QUEUED, not_before=now(session))
            _tell(session, job, "The job was resumed: it waits for a worker.", JobStatus.QUEUED)
        elif job.request == JobRequest.PAUSE:
            job.request, job.requested_at = None, None
            session.flush()
            events.append(session, job.id, "Pausing is not asked for any more.", kind="status", data={"request": None})
        answer = _answer(session, job_id)
    if status == JobStatus.PAUSED:
        wake_workers()
    return answer


def stop(job_id: str) -> JobOut:
    """Train no further and publish the best model so far; a job that waits is started for that.

    Raises NotFound, Conflict when the job is over, was asked for something else, or waits without having a model, and
    TooManyRequests when it is paused and too many jobs of the project are waiting.
    """
    with transaction() as session:
        job = _locked(session, job_id)
        status = JobStatus(job.status)
        if status in TERMINAL and job.request != JobRequest.STOP:
            raise _is_over(status, "stop")
        if job.kind != JobKind.TRAINING:
            raise Conflict(
                f"The job is of the kind {job.kind}: it has no best model that could be kept.",
                code="nothing_to_keep",
                hint="Pause it, or cancel it.",
            )
        if status not in TERMINAL:
            _refuse_another(job, JobRequest.STOP)
            if status != JobStatus.RUNNING and job.best_metrics is None:
                raise Conflict(
                    f"The job is {status.value} and has no evaluated checkpoint: there is no best model to keep.",
                    code="nothing_to_keep",
                    hint="Cancel it, or let it run until its first evaluation.",
                )
            if status == JobStatus.PAUSED:
                quota.refuse_beyond(session)
            _ask(session, job, JobRequest.STOP)
            if status == JobStatus.PAUSED:
                _change(session, job, JobStatus.QUEUED, not_before=now(session))
        answer = _answer(session, job_id)
    if status in {JobStatus.QUEUED, JobStatus.PAUSED}:
        wake_workers()
    return answer


def _locked(session: Session, job_id: str) -> Job:
    """The job, which cannot be claimed, or end, between look and write. Raises NotFound."""
    return require_locked(session, job_id)


def _ask(session: Session, job: Job, request: JobRequest) -> None:
    if job.request != request:
        job.request, job.requested_at = request, now(session)
        session.flush()
        events.append(session, job.id, _ASKED[request], kind="status", data={"request": request})


def _change(session: Session, job: Job, status: JobStatus, **values: object) -> None:
    current = JobStatus(job.status)
    check_transition(current, status)
    hit = repository.change_status(
        session, job.id, current=current, token=job.token, values={"status": status, **values}
    )
    assert hit == 1, "its row is locked"
    ending.tell(session, job.id, status)


def _tell(session: Session, job: Job, message: str, status: JobStatus) -> None:
    events.append(session, job.id, message, kind="status", data={"status": status})


def _refuse_another(job: Job, request: JobRequest) -> None:
    if job.request not in (None, request):
        raise Conflict(
            f"The job was asked to {job.request} and will do that.",
            code="request_pending",
            hint="A cancel is still possible." if job.request != JobRequest.CANCEL else None,
        )


def _is_over(status: JobStatus, action: str) -> Conflict:
    return Conflict(f"The job has already {_ENDED[status]}; there is nothing to {action}.", code="job_is_over")


_ENDED = {
    JobStatus.SUCCEEDED: "succeeded",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "been cancelled",
}


def _answer(session: Session, job_id: str) -> JobOut:
    session.expire_all()
    return job_out(session, require(session, job_id))
