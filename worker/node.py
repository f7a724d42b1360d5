"""One node's share of a job that several workers run together, where another worker leads.

The leader's supervisor relays, decides and commits; this one starts the share's trainer, renews its seat, and ends the trainer as
soon as the attempt is over or the seat is lost.
"""

import contextlib
import selectors
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app import caller, host
from app.caller import Caller
from app.config import get_settings
from app.db import now, reading, transaction
from app.errors import InvalidRequest, ServiceError
from app.job import records, repository, seats
from app.job.lifecycle import ClaimedJob
from app.job.models import WorkerPresence
from app.job.repository import Claim
from app.job.seats import Heard, Seat
from app.outage import is_outage
from app.spec.messages import MESSAGE, ErrorMessage
from app.spec.run import NodeSpec
from worker import run_directory
from worker.process import TrainerProcess
from worker.run_directory import World
from worker.uploading import Uploads

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS: Final = 0.5
DATABASE_OUTAGE_SECONDS: Final = 15 * 60
"""As of a job's own supervisor: so long a share goes on unheard."""


class SeatLost(Exception):
    """The attempt is over, or another worker has the seat: stop and write nothing."""


def run_node(seat: Seat, *, draining: threading.Event, gpus: Sequence[str] | None = None) -> None:
    """Run the seat's share, on these ``gpus`` (None: what the trainer finds), until no process of it is left. Raises nothing of the job's."""
    with (
        structlog.contextvars.bound_contextvars(job_id=seat.job_id, attempt=seat.attempt, node=seat.node_rank),
        contextlib.ExitStack() as at_last,
    ):
        try:
            endpoint = _await_start(seat, draining)
            if endpoint is None:
                log.info("the seat is given back", draining=draining.is_set())
                return
            world = _prepare(seat, endpoint, gpus=gpus)
            at_last.callback(Uploads(world.run_dir).end)  # nobody waits for a log
            error = _Share(seat, world, draining).run()
        except SeatLost:
            log.info("the attempt is over, or the seat is lost")
            return
        except ServiceError as refusal:
            log.info("the share cannot be prepared", code=refusal.code)
            error = refusal.as_job_error()
        except Exception:  # the outermost frame: whatever went wrong here, the leader must not wait for it
            log.exception("the supervisor of a node failed")
            error = _error("worker_error", "The worker itself failed.", hint="The worker's log says more.")
        _end(seat, error)


def _await_start(seat: Seat, draining: threading.Event) -> str | None:
    """The leader's endpoint, once all seats are taken; None if this worker is told to stop before. Raises SeatLost."""
    while True:
        heard = _renew(seat)
        if heard is not None and heard.endpoint is not None:
            return heard.endpoint
        if draining.is_set():
            with transaction() as session:
                seats.give_back(session, seat)
            return None
        time.sleep(HEARTBEAT_SECONDS)


def _renew(seat: Seat) -> Heard | None:
    """What was heard; None while the database is away. Raises SeatLost."""
    try:
        with transaction() as session:
            heard = seats.renew(session, seat, now=now(session))
    except SQLAlchemyError as error:
        if not is_outage(error):
            raise
        log.warning("the database is away; the node goes on", error=str(error))
        return None
    if heard is None:
        raise SeatLost(seat)
    return heard


def _prepare(seat: Seat, endpoint: str, *, gpus: Sequence[str] | None) -> World:
    """What the trainer is given. Raises SeatLost, or a ServiceError when a file or the model cannot be found from here."""
    with reading() as session:
        job = repository.get(session, seat.job_id)
        if job is None or job.token != seat.token:
            raise SeatLost(seat)
        saved = records.checkpoints(session, seat.job_id, committed_only=True)
        if endpoint.startswith("127.") and not _is_on_this_machine(session, job.worker_id):
            raise InvalidRequest(
                f"the nodes are to meet at {endpoint}, which is another place on each machine",
                code="node_unreachable",
                hint="Set TUNERY_NODE_ADDRESS for every worker to its own address in the network of the machines.",
            )
        claimed = ClaimedJob(
            claim=Claim(job_id=job.id, attempt=seat.attempt, token=seat.token, worker_id=seat.worker_id),
            spec=job.spec,
            project_id=job.project_id,
            checkpoints=[checkpoint.path for checkpoint in saved],
            ran_before_seconds=0.0,
        )
    node = NodeSpec(rank=seat.node_rank, count=claimed.nodes, endpoint=endpoint)
    with caller.acting_for(Caller(project_id=claimed.project_id)):
        return run_directory.prepare(claimed, gpus=gpus, node=node)


def _is_on_this_machine(session: Session, worker_id: str | None) -> bool:
    """As far as can be told: containers of one machine count as one."""
    worker = session.get(WorkerPresence, worker_id)
    return worker is None or worker.host.partition("/")[0] == host.identity().partition("/")[0]


def _end(seat: Seat, error: dict[str, Any] | None) -> None:
    try:
        with transaction() as session:
            seats.end(session, seat, error=error)
    except SQLAlchemyError as outage:
        log.warning("the leader finds the end of this node by itself", error=str(outage))


class _Share:
    """State of the loop that watches one node's trainer."""

    def __init__(self, seat: Seat, world: World, draining: threading.Event) -> None:
        self.seat, self.world, self.draining = seat, world, draining
        self.error: ErrorMessage | None = None
        self._beats_at = 0.0
        self._heard_at = time.monotonic()
        self._leaves_at: float | None = None

    def run(self) -> dict[str, Any] | None:
        """Why the share did not end well, or None. Raises SeatLost. No process of it is left either way."""
        trainer = TrainerProcess(self.world.run_dir, hub_token=self.world.hub_token)
        log.info("trainer of a node started", pid=trainer.pid)
        try:
            exit_code = self._watch(trainer)
        finally:
            trainer.close()
        log.info("trainer of a node ended", exit_code=exit_code)
        if exit_code is None or exit_code == 0:
            return None
        if self.error is not None:
            return self.error.model_dump(include={"code", "message", "hint"})
        how = f"died of {signal.Signals(-exit_code).name}" if exit_code < 0 else f"ended with exit code {exit_code}"
        return _error("trainer_crashed", f"Its trainer {how}.", hint="Its log says more.")

    def _watch(self, trainer: TrainerProcess) -> int | None:
        """The exit code; None where the trainer is to be killed, for the attempt is over. Raises SeatLost."""
        with selectors.DefaultSelector() as selector:
            selector.register(trainer.events_fd, selectors.EVENT_READ)
            while True:
                exit_code = trainer.exit_code()
                if selector.select(0 if exit_code is not None else HEARTBEAT_SECONDS / 2):
                    self._take(trainer.read_lines())
                if exit_code is not None:
                    return exit_code
                if self._is_over():
                    return None
                time.sleep(0.01)  # at the end of file the descriptor is always readable

    def _take(self, lines: list[bytes]) -> None:
        for line in lines:
            try:
                message = MESSAGE.validate_json(line)
            except ValidationError:
                log.exception("the trainer said something that is no message", line=line[:500])
                continue
            if isinstance(message, ErrorMessage):
                self.error = message

    def _is_over(self) -> bool:
        """Renew the seat when it is time to, and ask the leader to stop when this worker is. Raises SeatLost."""
        if time.monotonic() - self._beats_at < HEARTBEAT_SECONDS:
            return False
        self._beats_at = time.monotonic()
        if self.draining.is_set():
            return self._is_over_while_leaving()
        return self._renew_is_over()

    def _renew_is_over(self) -> bool:
        heard = _renew(self.seat)
        if heard is not None:
            self._heard_at = time.monotonic()
            return heard.is_over
        return time.monotonic() - self._heard_at > DATABASE_OUTAGE_SECONDS

    def _is_over_while_leaving(self) -> bool:
        """The leader has all ranks write a checkpoint, and is given twice the time that its own trainer has for it."""
        if self._leaves_at is None:
            log.info("this worker stops; the leader is asked for a checkpoint")
            with transaction() as session:
                seats.leave(session, self.seat)
            self._leaves_at = time.monotonic() + 2 * get_settings().stop_seconds
        return self._renew_is_over() or time.monotonic() > self._leaves_at


def _error(code: str, message: str, *, hint: str) -> dict[str, Any]:
    return {"code": code, "message": message, "hint": hint}
