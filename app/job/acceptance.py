"""A job of any kind, checked and ready to be stored: its row and first event, then the wake-up of a worker."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from app import failpoints, ids, telemetry
from app.audit import made
from app.clock import utc_now
from app.db import now, reading, transaction
from app.file import service as files
from app.job import events, hardware, idempotency, quota
from app.job.models import Job
from app.job.presentation import job_out
from app.job.schemas import JobOut
from app.job.states import JobStatus
from app.spec.kinds import AnySpec, JobKind
from app.spec.version import needed_by
from app.task_queue import wake_workers


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """What is stored of a job that was found to be in order."""

    kind: JobKind
    spec: AnySpec
    """With everything filled in that is known."""
    requested: AnySpec
    """As it was sent."""
    files: Sequence[str] = ()
    """Ids of those that it reads: none may be deleted before the job is stored, which itself keeps them from that."""
    num_rows: int | None = None
    """That it will have done in the end, if it counts rows."""
    data_report: dict[str, Any] | None = None
    warnings: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Submitted:
    job: JobOut
    is_new: bool
    """False: the same request was accepted before, under the same key."""


def accept(
    requested: AnySpec, check: Callable[[], NewJob], *, retry_of: str | None = None, idempotency_key: str | None = None
) -> Submitted:
    """The stored job. It is committed before a worker is woken, and waking may fail: workers also look by themselves.

    Raises what ``check`` raises, InvalidRequest for an idempotency key that was sent with another request, and TooManyRequests
    when too many jobs of the project are waiting.
    """
    digest = idempotency.digest(requested, retry_of=retry_of)
    if idempotency_key is not None and (known := _known(idempotency_key, digest)) is not None:
        made.tell(known.id)
        return Submitted(job=known, is_new=False)
    checked = check()
    failpoints.reach("job.checked")
    try:
        with telemetry.span("job.submit", {"tunery.job_kind": str(checked.kind)}) as span, transaction() as session:
            quota.refuse_beyond(session)
            job = store(session, checked, retry_of=retry_of)
            if span is not None:
                span.set_attribute("tunery.job_id", job.id)
            if idempotency_key is not None:
                idempotency.take(session, idempotency_key, request_sha256=digest, job_id=job.id)
            answer = job_out(session, job)
            failpoints.reach("job.inserted")
    except idempotency.KeyTakenError:
        known = _known(idempotency_key or "", digest)
        assert known is not None, "keys are kept for days"
        made.tell(known.id)
        return Submitted(job=known, is_new=False)
    made.tell(answer.id)
    failpoints.reach("job.stored")
    wake_workers()
    failpoints.reach("job.woken")
    return Submitted(job=answer, is_new=True)


def _known(idempotency_key: str, digest: str) -> JobOut | None:
    """The job that this very request made before."""
    with reading() as session:
        job_id = idempotency.find(session, idempotency_key, request_sha256=digest)
        return None if job_id is None else job_out(session, session.get_one(Job, job_id))


def store(session: Session, new: NewJob, *, retry_of: str | None = None, study_id: str | None = None) -> Job:
    """Its row and its first event. Wake workers after the commit. Raises InvalidRequest if a file of it is gone."""
    files.hold(session, new.files)
    spec = new.spec.model_dump(mode="json")
    job = Job(
        id=ids.new_id(ids.JOB),
        kind=new.kind,
        status=JobStatus.QUEUED,
        spec=spec,
        requested_spec=new.requested.model_dump(mode="json", exclude_unset=True),
        job_metadata=new.requested.metadata,
        priority=new.requested.priority,
        contract_version=needed_by(new.spec),
        retry_of=retry_of,
        study_id=study_id,
        trace_parent=telemetry.traceparent(),
        created_at=utc_now(),
        not_before=now(session),
        progress={} if new.num_rows is None else {"step": 0, "max_steps": new.num_rows},
        warnings=new.warnings + hardware.warnings(spec, hardware.present_workers(session, now=now(session))),
        data_report=new.data_report,
        timings={},
    )
    session.add(job)
    session.flush()
    events.append(session, job.id, "The job was accepted.", kind="status", data={"status": JobStatus.QUEUED})
    session.refresh(job)
    return job
