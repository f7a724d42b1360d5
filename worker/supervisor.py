"""One attempt of one job: start a trainer, relay what it says, pass on orders, and commit how it ended.

"Claim lost" is not "database unreachable": lost means stop at once and write nothing; unreachable means train on, keep
the messages, and write them when it is back.
"""

import re
import selectors
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import structlog
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from app import caller, failpoints, storage
from app.caller import Caller
from app.config import get_settings
from app.db import transaction
from app.disk import is_full
from app.errors import ServiceError
from app.job import lifecycle
from app.job.lifecycle import ClaimedJob, ClaimLost
from app.job.states import JobRequest
from app.outage import is_outage
from app.spec.messages import (
    MESSAGE,
    CheckpointMessage,
    ErrorMessage,
    FilesMessage,
    Message,
    PhaseMessage,
    ProgressMessage,
    ResultMessage,
)
from app.spec.run import ExitCode, NodeSpec
from app.storage import StoreUnavailable
from app.study import driver as study_driver
from worker import heartbeat, run_directory, tracing
from worker.gathering import Company, gather
from worker.outcome import commit_outcome
from worker.patience import GivenUp, Patience
from worker.process import Order, TrainerProcess
from worker.relay import Relay
from worker.run_directory import World
from worker.tracing import AttemptTrace
from worker.uploading import Uploads

log = structlog.get_logger(__name__)
_T = TypeVar("_T")

_NUL: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
"""In JSON; an even number of backslashes before it stand for themselves."""
TICK_SECONDS = 0.25
FLUSH_SECONDS = 0.5
"""Messages are gathered for so long; the look for a cancel request comes with it."""
_WEIGHT: Final[dict[Order | None, int]] = {None: 0, "finish": 1, "drain": 2, "cancel": 3}
"""Of an order to a trainer: a heavier one takes the place of a lighter."""
OUTAGE_SECONDS = 15 * 60
"""How long a trainer goes on while nothing of it can be recorded."""


def run_attempt(claimed: ClaimedJob, *, draining: threading.Event, gpus: Sequence[str] | None = None) -> None:
    """Run, on these ``gpus`` (None: what the trainer finds), until the trainer is gone and the outcome is committed, or the claim is lost. Raises nothing of the job's."""
    claimed_at = time.monotonic()
    with structlog.contextvars.bound_contextvars(job_id=claimed.claim.job_id, attempt=claimed.claim.attempt):
        try:
            failpoints.reach("claim.stored")
            with tracing.attempt(claimed, worker_id=claimed.claim.worker_id) as trace:
                company = None
                if claimed.nodes > 1:  # as the service itself: the workers that it counts run jobs of all projects
                    company = gather(claimed.claim, nodes=claimed.nodes, draining=draining)
                    if company is None:
                        return
                # From here on it finds, and makes, what is the job's project's.
                with caller.acting_for(Caller(project_id=claimed.project_id)), storage.held():
                    world = _prepare(claimed, gpus=gpus, node=company.node if company else None)
                    if world is not None:
                        _Supervision(claimed, world, draining, trace, claimed_at=claimed_at, company=company).run()
        except ClaimLost:
            log.warning("the claim is lost; the trainer was stopped")
        except (
            Exception
        ) as error:  # the outermost frame: whatever went wrong here, the job must not hang until its lease ends
            log.exception("the supervisor failed")
            _give_back(claimed, error)


def _give_back(claimed: ClaimedJob, error: Exception) -> None:
    """Count a fault of the worker itself as a crash. If even that cannot be stored, the lease ends by itself."""
    code, message, hint = "worker_error", "The worker itself failed.", "The worker's log says more."
    if is_full(error):
        code, message, hint = (
            "disk_full",
            "The disk of the worker is full.",
            "Delete files or models, or enlarge the disk.",
        )
    elif isinstance(error, StoreUnavailable):
        code, message, hint = (
            error.code,
            error.message,
            "See that the worker reaches the store; the job is tried again.",
        )
    try:
        with transaction() as session:
            lifecycle.crashed(session, claimed.claim, code=code, message=message, hint=hint)
    except (ClaimLost, SQLAlchemyError) as reason:
        log.warning("the job waits for the end of its lease", error=str(reason))


def _prepare(claimed: ClaimedJob, *, gpus: Sequence[str] | None, node: NodeSpec | None) -> World | None:
    """What the trainer is given, or None when the job has failed for want of what it needs."""
    try:
        with heartbeat.renewed(claimed.claim):
            return _until_all_answer(lambda: run_directory.prepare(claimed, gpus=gpus, node=node))
    except StoreUnavailable:
        raise
    except ServiceError as error:
        log.info("the job cannot be prepared", code=error.code)
        failure = error.as_job_error()
        _until_all_answer(lambda: _fail(claimed, failure))
        return None


def _fail(claimed: ClaimedJob, error: dict[str, Any]) -> None:
    with transaction() as session:
        lifecycle.fail(session, claimed.claim, error=error)


class _Supervision:
    """State of the loop that watches one trainer."""

    def __init__(
        self,
        claimed: ClaimedJob,
        world: World,
        draining: threading.Event,
        trace: AttemptTrace,
        *,
        claimed_at: float,
        company: Company | None = None,
    ) -> None:
        self.claim = claimed.claim
        self.world = world
        self.draining = draining
        self.trace = trace
        self.company = company
        """The other nodes of the job, if it has any."""
        self.relay = Relay(claimed.claim)
        self.uploads = Uploads(world.run_dir)
        self.result: ResultMessage | FilesMessage | None = None
        self.error: ErrorMessage | None = None
        self.request: JobRequest | None = None
        self.order: Order | None = None
        """The last that was given; a later one weighs more."""
        self.killed = False
        self.patience = Patience(
            stall_seconds=get_settings().stall_seconds,
            max_runtime_seconds=claimed.spec.get("max_runtime_seconds"),
            ran_before_seconds=claimed.ran_before_seconds,
        )
        self.given_up: GivenUp | None = None
        self.timings: dict[str, float] = {}
        """Seconds from the claim to the trainer's first word, and to the end of its first step."""
        self._claimed_at = claimed_at
        self._kill_at: float | None = None
        self._flushed_at = 0.0
        self._database_seen_at = time.monotonic()

    def run(self) -> None:
        """Raises ClaimLost, after the trainer was killed."""
        if self.company is not None:
            _until_all_answer(self.company.let_start)
        failpoints.reach("attempt.prepared")
        try:
            exit_code = self._run_trainer()
            self._wait_for_uploads()
        finally:
            self.uploads.end()
        _until_all_answer(self.relay.flush)
        if self.company is not None:
            exit_code = self._end_company(self.company, exit_code)
        if exit_code != ExitCode.SUCCESS and self.order == "cancel":
            exit_code = ExitCode.CANCELLED
        elif exit_code != ExitCode.SUCCESS and self.killed:
            exit_code = ExitCode.DRAINED
        with heartbeat.renewed(self.claim):
            _until_all_answer(
                lambda: commit_outcome(
                    self.claim, exit_code, result=self.result, error=self.error, given_up=self.given_up
                )
            )
        study_driver.wake()

    def _run_trainer(self) -> int:
        """Its exit code."""
        trainer = TrainerProcess(self.world.run_dir, hub_token=self.world.hub_token)
        failpoints.reach("attempt.started")
        log.info("trainer started", pid=trainer.pid)
        try:
            exit_code = self._watch(trainer)
        finally:
            trainer.close()
        log.info("trainer ended", exit_code=exit_code)
        self.trace.trainer_ended(exit_code, error_code=self.error.code if self.error else None)
        failpoints.reach("attempt.ended")
        return exit_code

    def _wait_for_uploads(self) -> None:
        """Until the checkpoints are in the store, where another attempt may look for them; for a cancelled job none will."""
        deadline = time.monotonic() + OUTAGE_SECONDS
        while not self.uploads.is_idle() and self.order != "cancel" and time.monotonic() < deadline:
            time.sleep(TICK_SECONDS)
            self.relay.pending += (sent := self.uploads.sent())
            if sent:
                deadline = time.monotonic() + OUTAGE_SECONDS
            self.request = _until_all_answer(self.relay.flush)
            self.order = "cancel" if self.request == JobRequest.CANCEL else self.order
        self.relay.pending += self.uploads.sent()

    def _end_company(self, company: Company, exit_code: int) -> int:
        """Find out whether another node was why the trainer ended, and end them all; the exit code that counts."""
        if self.result is not None and self.given_up is not None:
            exit_code = ExitCode.SUCCESS  # its work was done; it only waited for the others to end
        elif self.order in {None, "finish"} and self.error is None and exit_code not in set(ExitCode):
            self.given_up = self.given_up or company.explain()
        company.dismiss()
        return exit_code

    def _watch(self, trainer: TrainerProcess) -> int:
        """The exit code, once the trainer has ended and everything it said was read."""
        with selectors.DefaultSelector() as selector:
            selector.register(trainer.events_fd, selectors.EVENT_READ)
            while True:
                exit_code = (
                    trainer.exit_code()
                )  # asked before reading: what it said before it ended is then in the pipe
                if selector.select(0 if exit_code is not None else TICK_SECONDS):
                    self._take(trainer.read_lines())
                if exit_code is not None:
                    return exit_code
                self._flush_when_due(trainer)
                self._give_orders(trainer)
                self._give_up_if_in_vain(trainer)
                time.sleep(0.01)  # at the end of file the descriptor is always readable

    def _take(self, lines: list[bytes]) -> None:
        for line in lines:
            try:
                # No database stores a NUL, and data from the Hub may hold any character.
                message: Message = MESSAGE.validate_json(_NUL.sub(rb"\1\\ufffd", line))
            except ValidationError:
                log.exception("the trainer said something that is no message", line=line[:500])
                continue
            self.patience.hear(message)
            if isinstance(message, PhaseMessage):
                self.trace.phase(message.phase)
            if isinstance(message, PhaseMessage | ProgressMessage):
                first = "trainer_seconds" if isinstance(message, PhaseMessage) else "first_step_seconds"
                self.timings.setdefault(first, round(time.monotonic() - self._claimed_at, 3))
            if isinstance(message, ResultMessage | FilesMessage):
                self.result = message.model_copy(update={"timings": self.timings | message.timings})
            elif isinstance(message, ErrorMessage):
                self.error = message
            elif isinstance(message, CheckpointMessage):
                self.uploads.take(message)
            else:
                self.relay.pending.append(message)

    def _flush_when_due(self, trainer: TrainerProcess) -> None:
        if time.monotonic() - self._flushed_at < FLUSH_SECONDS:
            return
        self._flushed_at = time.monotonic()
        recorded_before = self.relay.recorded_step
        self.relay.pending += self.uploads.sent()
        try:
            self.request = self.relay.flush()
            if self.company is not None:
                self.company.look()
            self._database_seen_at = time.monotonic()
            if self.relay.recorded_step > recorded_before:
                trainer.confirm(recorded_step=self.relay.recorded_step)
            self.uploads.remove(self.relay.replaced)
            self.relay.replaced = []
        except SQLAlchemyError as error:
            if not is_outage(error) or time.monotonic() - self._database_seen_at > OUTAGE_SECONDS:
                raise
            log.warning("the database is away; training goes on", error=str(error))

    def _give_orders(self, trainer: TrainerProcess) -> None:
        wanted = self._wanted_order()
        if _WEIGHT[wanted] > _WEIGHT[self.order]:
            assert wanted is not None
            self.order = wanted
            trainer.tell(wanted)
            if wanted != "finish" and self._kill_at is None:
                self._kill_at = time.monotonic() + get_settings().stop_seconds
        elif self._kill_at is not None and time.monotonic() > self._kill_at:
            log.warning("the trainer did not stop in time and is killed", pid=trainer.pid)
            self.killed = True
            trainer.kill()

    def _give_up_if_in_vain(self, trainer: TrainerProcess) -> None:
        verdict = (self.company and self.company.loss) or self.patience.verdict()
        if self._kill_at is None and self.given_up is None and verdict is not None:
            log.warning("the trainer is given up", pid=trainer.pid, code=verdict.code)
            self.given_up = verdict
            trainer.kill()

    def _wanted_order(self) -> Order | None:
        if self.request == JobRequest.CANCEL:
            return "cancel"
        if self.request == JobRequest.PAUSE or self.draining.is_set():
            return "drain"
        if self.company is not None and self.company.wants_to_leave:
            return "drain"
        return "finish" if self.request == JobRequest.STOP else None


def _until_all_answer(step: Callable[[], _T]) -> _T:
    """What ``step`` returns: a job's beginning and end are worth waiting for.

    Raises SQLAlchemyError or StoreUnavailable after the longest outage that is waited for, and at once when the database
    refuses for good.
    """
    deadline = time.monotonic() + OUTAGE_SECONDS
    while True:
        try:
            return step()
        except (SQLAlchemyError, StoreUnavailable) as error:
            if not is_outage(error) or time.monotonic() > deadline:
                raise
            log.warning("the database or the store is away; the job waits for it", error=str(error))
            time.sleep(1)
