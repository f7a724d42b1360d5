"""What the API can ask of jobs."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy.orm import Session

from app import ids, storage
from app.config import get_settings
from app.db import reading
from app.errors import InvalidRequest, NotFound
from app.job import records, repository
from app.job.forecast import forecast
from app.job.models import Job
from app.job.presentation import checkpoint_out, event_out, job_out, jobs_out
from app.job.schemas import CheckpointPage, EventPage, JobOut, JobPage, LogPage, MetricOut, MetricPage
from app.job.states import TERMINAL, JobStatus
from app.spec.kinds import JobKind
from app.spec.run import TRAINER_LOG, node_folder

LOG_CHUNK_BYTES = 256 * 1024
_LOG_CURSOR: Final = re.compile(r"(\d{1,9}):(\d{1,18})", re.ASCII)
_ROW_ID: Final = re.compile(r"\d{1,18}", re.ASCII)
"""18 digits fit into the 64 bits of a file offset and of a row's number."""


def require(session: Session, job_id: str) -> Job:
    """The job of that id. Raises NotFound."""
    job = repository.get(session, job_id) if ids.is_id(job_id, ids.JOB) else None
    if job is None:
        raise _not_found(job_id)
    return job


def require_locked(session: Session, job_id: str) -> Job:
    """The job, unchanged by others until the transaction ends. Raises NotFound, also when it is deleted just now."""
    require(session, job_id)
    job = repository.find_locked(session, job_id)
    if job is None:
        raise _not_found(job_id)
    return job


def get_job(job_id: str, *, kind: JobKind | None = None) -> JobOut:
    """Raises NotFound, also for a job of another kind than the one that is asked for."""
    with reading() as session:
        job = require(session, job_id)
        if kind is not None and job.kind != kind:
            raise NotFound(
                f"There is no {kind} job {job_id!r}: it is of the kind {job.kind}.",
                param="job_id",
                code="job_not_found",
                hint=f"Ask for it with GET /jobs/{job_id}.",
            )
        return job_out(session, job, foretold=forecast(session, job))


def list_jobs(
    *,
    status: JobStatus | None,
    kind: JobKind | None = None,
    metadata: Mapping[str, str],
    sweep_id: str | None = None,
    after: str | None,
    limit: int,
) -> JobPage:
    """Newest first; ``after`` is the id of the last job of the page before. Raises InvalidRequest if it is no job id."""
    if after is not None and not ids.is_id(after, ids.JOB):
        raise InvalidRequest(f"{after!r} is not the id of a job.", param="after", code="invalid_cursor")
    if any("\0" in text for pair in metadata.items() for text in pair):
        raise InvalidRequest("A metadata filter cannot hold a NUL.", param="metadata")
    with reading() as session:
        rows = repository.page(
            session, status=status, kind=kind, metadata=metadata, study_id=sweep_id, after=after, limit=limit
        )
        data = jobs_out(session, rows[:limit])
    return JobPage(
        data=data,
        has_more=len(rows) > limit,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
    )


def metrics(job_id: str, *, after: str | None, limit: int) -> MetricPage:
    """In the order in which they were first stored."""
    with reading() as session:
        require(session, job_id)
        rows = records.metrics_after(session, job_id, after=_position(after), limit=limit)
    page = rows[:limit]
    return MetricPage(
        data=[MetricOut.model_validate(row, from_attributes=True) for row in page],
        has_more=len(rows) > limit,
        last_id=_cursor(page[-1].id) if page else after,
    )


def metrics_at(job_id: str, *, steps: Sequence[int]) -> dict[int, dict[str, float]]:
    """What was measured at these steps, by step and name."""
    found: dict[int, dict[str, float]] = {}
    with reading() as session:
        for point in records.metrics_at(session, job_id, steps=steps):
            found.setdefault(point.step, {})[point.name] = point.value
    return found


def list_events(job_id: str, *, after: str | None, limit: int, newest_first: bool = False) -> EventPage:
    """Oldest first unless told otherwise; ``after`` is an event id, that of the last of the page before."""
    number = event_position(after)
    with reading() as session:
        require(session, job_id)
        if newest_first:
            before = None if after is None else number
            rows = records.events_before(session, job_id, number=before, limit=limit + 1)
        else:
            rows = records.events_after(session, job_id, number=number, limit=limit + 1)
    data = [event_out(row) for row in rows[:limit]]
    return EventPage(
        data=data,
        has_more=len(rows) > limit,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else after,
    )


def newest_events(job_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
    """By job: the number of its newest event, and its status. One query however many jobs."""
    with reading() as session:
        return records.last_event_numbers(session, job_ids)


def has_ended(job_id: str) -> bool:
    """Also when it was deleted."""
    newest = newest_events([job_id]).get(job_id)
    return newest is None or newest[1] in TERMINAL


def event_position(after: str | None) -> int:
    """The number in an event id, 0 for none. Raises InvalidRequest when it is not an event id."""
    if after is None:
        return 0
    try:
        return ids.event_number(after)
    except ValueError as error:
        raise InvalidRequest(f"{after!r} is not an event id.", param="after", code="invalid_cursor") from error


def list_checkpoints(job_id: str) -> CheckpointPage:
    """Newest first, those already rotated away included."""
    with reading() as session:
        require(session, job_id)
        rows = records.checkpoints(session, job_id, committed_only=False)
    return CheckpointPage(data=[checkpoint_out(row) for row in rows])


def logs(job_id: str, *, after: str | None, node: int = 0) -> LogPage:
    """Whole lines of the output of a node's trainers from a cursor on, attempt by attempt.

    Raises NotFound, and InvalidRequest for a node that the job has not, or what is no cursor.
    """
    with reading() as session:
        job = require(session, job_id)
    if node >= job.nodes:
        have = f"{job.nodes} nodes, 0 to {job.nodes - 1}" if job.nodes > 1 else "one node, which is 0"
        raise InvalidRequest(f"The job has {have}; there is no node {node}.", param="node", code="invalid_value")
    cursor = _LOG_CURSOR.fullmatch("1:0" if after is None else after)
    if cursor is None:
        raise InvalidRequest(f"{after!r} is not a log cursor.", param="after", code="invalid_cursor")
    number, offset = int(cursor[1]), int(cursor[2])
    run_dir = node_folder(get_settings().jobs_dir / job_id / f"attempt-{number}", node)
    chunk = _read_lines(run_dir / TRAINER_LOG, offset)
    if not chunk and number < job.attempt:
        return LogPage(attempt=number, node=node, lines=[], next=f"{number + 1}:0", ended=False)
    return LogPage(
        attempt=number if job.attempt else None,
        node=node,
        lines=chunk.decode("utf-8", errors="replace").split("\n")[:-1],
        next=f"{number}:{offset + len(chunk)}",
        ended=not chunk and JobStatus(job.status) in TERMINAL,
    )


def _read_lines(path: Path, offset: int) -> bytes:
    """Bytes up to the last complete line of the chunk at ``offset``; empty if there is none yet."""
    try:
        chunk = storage.read(path, start=offset, num_bytes=LOG_CHUNK_BYTES)
    except FileNotFoundError:
        return b""
    end = chunk.rfind(b"\n") + 1
    return chunk[:end] if end else (chunk if len(chunk) == LOG_CHUNK_BYTES else b"")


def _not_found(job_id: str) -> NotFound:
    return NotFound(f"There is no job {job_id!r}.", param="job_id", code="job_not_found")


def _cursor(row_id: int) -> str:
    return base64.urlsafe_b64encode(str(row_id).encode()).decode().rstrip("=")


def _position(cursor: str | None) -> int:
    if cursor is None:
        return 0
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (ValueError, binascii.Error):
        text = ""
    if not _ROW_ID.fullmatch(text):
        raise InvalidRequest(f"{cursor!r} is not a cursor.", param="after", code="invalid_cursor")
    return int(text)
