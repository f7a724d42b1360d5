"""A job of several nodes, seen by the worker that leads it: gather the others, watch them, and send them home."""

import random
import socket
import threading
import time
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.config import get_settings
from app.db import now, transaction
from app.job import gathering, lifecycle, seats
from app.job.models import NodeSeat
from app.job.repository import Claim
from app.job.seats import SeatState
from app.job.states import JobRequest
from app.outage import is_outage
from app.spec.run import NodeSpec
from app.task_queue import wake_workers
from worker.patience import GivenUp

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 0.25
YIELD_SECONDS: Final = 2.0
"""A job that yields to another comes back so much later: by then its worker has taken a seat of that one."""
HOPELESS_SECONDS: Final = 5.0
"""A worker that was idle when the job was claimed may be about to start another, or to end: so long it is not missed."""
VERDICT_SECONDS: Final = 3.0
"""How long a crash waits to be explained by another node: the death of one breaks the operations of all at once."""
DISMISSAL_SECONDS: Final = 10.0
"""How long the end of an attempt waits until no other node has a process of it."""


class Company:
    """The other nodes of an attempt that this worker leads. One supervisor owns it."""

    def __init__(self, claim: Claim, *, nodes: int) -> None:
        self.wants_to_leave = False
        """The worker of another node was told to stop."""
        self.loss: GivenUp | None = None
        """Why the attempt cannot go on, once a node has ended."""
        self.node: NodeSpec = NodeSpec(rank=0, count=nodes, endpoint=_free_endpoint())
        self._claim = claim
        self._seen_at = self._steady_since = time.monotonic()

    def let_start(self) -> None:
        """Tell the others where to meet: call it when all is ready."""
        with transaction() as session:
            seats.publish_endpoint(session, self._claim, self.node.endpoint)

    def look(self) -> None:
        """See how the others do. Raises SQLAlchemyError when the database is away."""
        with transaction() as session:
            moment = now(session)
            looked_at = time.monotonic()
            if looked_at - self._seen_at > seats.SEAT_LEASE.total_seconds() / 2:
                self._steady_since = looked_at  # while the database was away, nobody could renew a seat
            self._seen_at = looked_at
            rows = seats.others(session, self._claim)
            self.wants_to_leave = any(row.state == SeatState.LEAVING for row in rows)
            if self.loss is None:
                self.loss = next((loss for row in rows if (loss := self._loss_of(session, row, moment))), None)

    def explain(self) -> GivenUp | None:
        """What became of the others, to be asked when the own trainer has crashed: perhaps it was their end that broke it."""
        deadline = time.monotonic() + VERDICT_SECONDS
        while self.loss is None and time.monotonic() < deadline:
            try:
                self.look()
            except SQLAlchemyError as error:
                log.warning("the other nodes cannot be asked: no database", error=str(error))
            time.sleep(LOOK_SECONDS)
        return self.loss

    def dismiss(self) -> None:
        """End the others' shares, and wait until no process of them is left; what the lost have left, ends by itself."""
        deadline = time.monotonic() + DISMISSAL_SECONDS
        told = False
        while time.monotonic() < deadline:
            try:
                with transaction() as session:
                    if not told:
                        seats.dismiss(session, self._claim)
                        told = True
                    rows, moment = seats.others(session, self._claim), now(session)
                    if not any(_is_at_work(session, row, moment) for row in rows):
                        return
            except SQLAlchemyError as error:
                log.warning("the other nodes cannot be sent home: no database", error=str(error))
            time.sleep(LOOK_SECONDS)
        log.warning("another node has not ended its share in time")

    def _loss_of(self, session: Session, row: NodeSeat, moment: datetime) -> GivenUp | None:
        who = f"Node {row.node_rank} of {self.node.count}"
        if row.state == SeatState.ENDED and row.error is not None:
            error = row.error
            return GivenUp(code=error["code"], message=f"{who}: {error['message']}", hint=error["hint"], for_good=False)
        is_steady = time.monotonic() - self._steady_since > seats.SEAT_LEASE.total_seconds()
        if seats.is_deserted(session, row, now=moment if is_steady else None):
            return GivenUp(
                code="node_lost",
                message=f"{who} was lost with its worker.",
                hint="The worker's log says more.",
                for_good=False,
                is_loss=True,
            )
        return None


def gather(claim: Claim, *, nodes: int, draining: threading.Event) -> Company | None:
    """Wait until other workers have taken all seats of the attempt.

    None when the claim was given back instead: too few came in time, another job goes before, this worker is to stop, or the job
    was asked to. Nothing has been started then. Raises ClaimLost.
    """
    began_at = time.monotonic()
    opened = False
    while True:
        try:
            with transaction() as session:
                lifecycle.write(session, claim)
                if not opened:
                    seats.open_all(session, claim, nodes=nodes)
                missing = seats.free_deserted(session, claim, now=now(session))
                if _ends_as_asked(session, claim):
                    return None
                waited = time.monotonic() - began_at
                pause = 0.0 if draining.is_set() else _next_try_in(session, claim, missing=missing, waited=waited)
                if pause is not None:
                    gathering.give_back(session, claim, nodes=nodes, missing=missing, pause_seconds=pause)
                    return None
        except SQLAlchemyError as error:
            if not is_outage(error):
                raise
            log.warning("the database is away; the job waits for it", error=str(error))
        else:
            if not missing:
                log.info("all nodes are there", nodes=nodes)
                return Company(claim, nodes=nodes)
            if not opened:
                log.info("waiting for other workers", missing=missing)
                for _ in range(missing):
                    wake_workers()
            opened = True
        time.sleep(LOOK_SECONDS)


def _ends_as_asked(session: Session, claim: Claim) -> bool:
    """Cancel or pause the job, if that was asked for."""
    request = lifecycle.asked_for(session, claim)
    if request == JobRequest.CANCEL:
        lifecycle.cancelled(session, claim)
    elif request == JobRequest.PAUSE:
        lifecycle.drained(session, claim)
    return request in {JobRequest.CANCEL, JobRequest.PAUSE}


def _next_try_in(session: Session, claim: Claim, *, missing: int, waited: float) -> float | None:
    """Seconds for which the claim is to be given back, or None to go on waiting for the ``missing`` workers."""
    if not missing:
        return None
    patience = get_settings().gather_seconds
    moment = now(session)
    if waited > patience:
        # Two that are in each other's way must not come back at once.
        return patience * random.uniform(0.5, 1)  # noqa: S311 - no secret
    if seats.stands_in_the_way(session, claim, now=moment):
        return YIELD_SECONDS
    is_hopeless = seats.num_idle(session, now=moment, besides=claim.worker_id) < missing
    return YIELD_SECONDS if is_hopeless and waited > HOPELESS_SECONDS else None


def _is_at_work(session: Session, row: NodeSeat, moment: datetime) -> bool:
    return row.state in seats.HELD and not seats.is_deserted(session, row, now=moment)


def _free_endpoint() -> str:
    """Where no process listens just now. The trainer takes it within the second; should another be quicker, that is a crash."""
    address = get_settings().node_address
    with socket.create_server(("", 0)) as probe:
        port = probe.getsockname()[1]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
