"""The workers of an attempt that several of them run together: a row for each, there for as long as the attempt runs.

The worker that claims such a job opens its seats and keeps the first. Others take what is free, and nothing is started until none
is. Whoever holds a seat renews it, and finds by that whether the attempt still runs; the leader finds by the rows who is gone.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, delete, exists, func, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session, aliased

from app import host
from app.job import turns
from app.job.hardware import Offer, present_workers
from app.job.models import Job, NodeSeat, WorkerPresence
from app.job.repository import Claim
from app.job.states import JobStatus
from app.spec.version import CONTRACT_VERSION

SEAT_LEASE: Final = timedelta(seconds=20)
"""A seat that was not renewed for so long is lost. Shorter than a job's lease: the others compute nothing without it."""


class SeatState(StrEnum):
    FREE = "free"
    TAKEN = "taken"
    LEAVING = "leaving"
    """Its worker was told to stop and asks that the whole attempt does."""
    ENDED = "ended"
    """No process of this node's share lives. Of seat 0: the attempt is over, and the others are to end."""


HELD: Final = (SeatState.TAKEN, SeatState.LEAVING)


@dataclass(frozen=True, kw_only=True)
class Seat:
    """The right of a worker to run one node's share of an attempt."""

    job_id: str
    attempt: int
    token: int
    node_rank: int
    worker_id: str
    spec: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What the holder of a seat learns when it renews it."""

    endpoint: str | None
    """Where the nodes meet, once all seats are taken."""
    is_over: bool


def open_all(session: Session, claim: Claim, *, nodes: int) -> None:
    """Seat 0 for the claim's own worker, and free ones for the others. Those that are there already stay as they are."""
    for rank in range(nodes):
        if session.get(NodeSeat, (claim.job_id, claim.token, rank)) is None:
            state, worker_id = (SeatState.FREE, None) if rank else (SeatState.TAKEN, claim.worker_id)
            key = {"job_id": claim.job_id, "token": claim.token, "node_rank": rank}
            session.add(NodeSeat(**key, state=state, worker_id=worker_id))


def best_free_priority(session: Session, *, worker_id: str, offer: Offer | None = None) -> int | None:
    """The highest priority of the jobs with a seat that this worker could take; None if there is no such seat."""
    best = _free_for(worker_id, offer=offer)
    return session.scalar(
        select(func.max(Job.priority)).select_from(NodeSeat).join(Job, Job.id == NodeSeat.job_id).where(best)
    )


def take(session: Session, *, worker_id: str, now: datetime, offer: Offer | None = None) -> Seat | None:
    """Take a free seat of the job that comes first in the queue's order, or None. SKIP LOCKED keeps takers apart."""
    query = (
        select(NodeSeat)
        .join(Job, Job.id == NodeSeat.job_id)
        .where(_free_for(worker_id, offer=offer))
        .order_by(Job.priority.desc(), Job.id, NodeSeat.node_rank)
        .limit(1)
        .with_for_update(skip_locked=True, of=NodeSeat)
    )
    row = session.scalars(query).one_or_none()
    if row is None:
        return None
    row.state, row.worker_id, row.lease_until = SeatState.TAKEN, worker_id, now + SEAT_LEASE
    job = session.get_one(Job, row.job_id)
    return Seat(
        job_id=job.id,
        attempt=job.attempt,
        token=row.token,
        node_rank=row.node_rank,
        worker_id=worker_id,
        spec=job.spec,
    )


def _free_for(worker_id: str, *, offer: Offer | None) -> ColumnElement[bool]:
    """A worker has one seat of a job at most: its nodes are to be several machines."""
    own = aliased(NodeSeat)
    has_one = exists().where(
        own.job_id == NodeSeat.job_id, own.token == NodeSeat.token, own.worker_id == worker_id, own.state.in_(HELD)
    )
    known = Job.contract_version <= CONTRACT_VERSION
    conditions = [NodeSeat.state == SeatState.FREE, _of_running(Job), known, ~has_one]
    if offer is not None:
        conditions.append(offer.condition())
    return and_(*conditions)


def _of_running(job: type[Job]) -> ColumnElement[bool]:
    return and_(job.id == NodeSeat.job_id, job.token == NodeSeat.token, job.status == JobStatus.RUNNING)


def renew(session: Session, seat: Seat, *, now: datetime) -> Heard | None:
    """What its holder needs to know; None when the seat is not its own any more, or the attempt is over."""
    if _change(session, seat, lease_until=now + SEAT_LEASE) == 0:
        return None
    leader = session.get(NodeSeat, (seat.job_id, seat.token, 0), populate_existing=True)
    return None if leader is None else Heard(endpoint=leader.endpoint, is_over=leader.state == SeatState.ENDED)


def leave(session: Session, seat: Seat) -> None:
    """Ask that the whole attempt stops with a checkpoint, so that this worker can end."""
    _change(session, seat, state=SeatState.LEAVING)


def give_back(session: Session, seat: Seat) -> None:
    """Of a seat that nothing was started for: another worker may take it."""
    _change(session, seat, state=SeatState.FREE, worker_id=None, lease_until=None)


def end(session: Session, seat: Seat, *, error: dict[str, Any] | None = None) -> None:
    """Nothing of this node's share runs any more; with ``error`` it did not end well."""
    _change(session, seat, state=SeatState.ENDED, error=error)


def _change(session: Session, seat: Seat, **values: Any) -> int:
    """Rows hit: 0 means that the seat is lost."""
    result = session.execute(
        update(NodeSeat)
        .where(
            NodeSeat.job_id == seat.job_id,
            NodeSeat.token == seat.token,
            NodeSeat.node_rank == seat.node_rank,
            NodeSeat.worker_id == seat.worker_id,
            NodeSeat.state.in_(HELD),
            exists().where(_of_running(Job)),
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    return int(result.rowcount)


def publish_endpoint(session: Session, claim: Claim, endpoint: str) -> None:
    """Let the others start."""
    session.get_one(NodeSeat, (claim.job_id, claim.token, 0)).endpoint = endpoint


def dismiss(session: Session, claim: Claim) -> None:
    """Tell the others that the attempt is over."""
    row = session.get(NodeSeat, (claim.job_id, claim.token, 0))
    if row is not None:
        row.state = SeatState.ENDED


def others(session: Session, claim: Claim) -> Sequence[NodeSeat]:
    """All seats but the leader's, in their order; none if the claim is lost."""
    query = select(NodeSeat).where(
        NodeSeat.job_id == claim.job_id, NodeSeat.token == claim.token, NodeSeat.node_rank > 0
    )
    return session.scalars(query.order_by(NodeSeat.node_rank).execution_options(populate_existing=True)).all()


def is_deserted(session: Session, seat: NodeSeat, *, now: datetime | None) -> bool:
    """Whether it was not renewed in time (``now`` None: that is not asked), or its worker's process on this very host is gone."""
    if seat.state not in HELD:
        return False
    if now is not None and seat.lease_until is not None and seat.lease_until < now:
        return True
    worker = session.get(WorkerPresence, seat.worker_id)
    return worker is not None and _is_dead_neighbour(worker)


def free_deserted(session: Session, claim: Claim, *, now: datetime) -> int:
    """While workers are gathered: free what the dead had taken. How many seats are free then."""
    rows = others(session, claim)
    for row in rows:
        if is_deserted(session, row, now=now) or row.state in {SeatState.LEAVING, SeatState.ENDED}:
            row.state, row.worker_id, row.lease_until = SeatState.FREE, None, None
    return sum(row.state == SeatState.FREE for row in rows)


def stands_in_the_way(session: Session, claim: Claim, *, now: datetime) -> bool:
    """Whether a job that goes before this one gathers workers too, and there are not enough for both.

    Of two such jobs that hold half of the workers each, the later one yields.
    """
    own = session.get_one(Job, claim.job_id)
    gathering = session.execute(
        select(Job.priority, Job.id, func.count())
        .select_from(NodeSeat)
        .join(Job, _of_running(Job))
        .where(NodeSeat.state == SeatState.FREE)
        .group_by(Job.priority, Job.id)
    ).all()
    comes_first = any((-priority, job_id) < (-own.priority, own.id) for priority, job_id, _ in gathering)
    return comes_first and num_idle(session, now=now) < sum(num_free for *_, num_free in gathering)


def num_idle(session: Session, *, now: datetime, besides: str | None = None) -> int:
    """How many workers, ``besides`` that one, live and could take one more job, or one more seat."""
    busy = Counter(session.scalars(select(Job.worker_id).where(Job.status == JobStatus.RUNNING)))
    busy.update(session.scalars(select(NodeSeat.worker_id).where(NodeSeat.node_rank > 0, NodeSeat.state.in_(HELD))))
    return sum(worker.id != besides and busy[worker.id] < worker.slots for worker in _living(session, now=now))


def who_shares_what(session: Session) -> Sequence[tuple[str, str, str]]:
    """Workers with a seat in a job that another one leads, these jobs, and the projects of those."""
    query = select(NodeSeat.worker_id, Job.id, Job.project_id).join(Job, _of_running(Job))
    query = query.where(NodeSeat.node_rank > 0, NodeSeat.state.in_(HELD))
    return [(worker_id or "", job_id, project_id) for worker_id, job_id, project_id in session.execute(query)]


def waited_for_priority(session: Session, *, now: datetime, idle: int, offer: Offer | None = None) -> int | None:
    """The highest priority of the jobs that wait until enough of the workers that live are idle; None if there are none.

    An idle worker is kept for them from jobs of a lower priority, or those would never leave enough of them idle. For those that
    it cannot run itself, with what it has or knows, it is of no use; nor for those whose project runs as many as it may.
    """
    conditions = [
        Job.status == JobStatus.QUEUED,
        Job.not_before <= now,
        Job.nodes > idle,
        Job.nodes <= len(_living(session, now=now)),
        Job.contract_version <= CONTRACT_VERSION,
    ]
    if offer is not None:
        conditions.append(offer.condition())
    by_project = select(Job.project_id, func.max(Job.priority).label("priority")).where(*conditions)
    best = by_project.group_by(Job.project_id).subquery()
    highest: int | None = session.scalar(select(func.max(best.c.priority)).where(turns.may_run_more(best.c.project_id)))
    return highest


def _living(session: Session, *, now: datetime) -> list[WorkerPresence]:
    return [worker for worker in present_workers(session, now=now) if not _is_dead_neighbour(worker)]


def clear(session: Session, job_id: str) -> None:
    """With the attempt its seats go."""
    session.execute(delete(NodeSeat).where(NodeSeat.job_id == job_id).execution_options(synchronize_session=False))


def _is_dead_neighbour(worker: WorkerPresence) -> bool:
    return worker.host == host.identity() and not host.is_alive(worker.pid, started_at=worker.process_started)
