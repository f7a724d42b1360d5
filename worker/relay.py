"""A trainer's messages into the database: in order, several to a transaction, each guarded by the claim's token."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.orm import Session

from app import failpoints, ids
from app.clock import utc_now
from app.config import get_settings
from app.db import transaction
from app.job import events, lifecycle, records, repository
from app.job.lifecycle import ClaimLost
from app.job.models import Checkpoint
from app.job.repository import Claim
from app.job.states import JobRequest
from app.outage import is_outage
from app.spec.messages import (
    AliveMessage,
    BegunMessage,
    CheckpointMessage,
    CorruptMessage,
    DataReportMessage,
    LogMessage,
    Message,
    MetricsMessage,
    MistakesMessage,
    PhaseMessage,
    ProgressMessage,
    ResolvedMessage,
    StartedMessage,
    WarningMessage,
)
from app.study import driver as study_driver

log = structlog.get_logger(__name__)

PHASE_WORDS = {
    "preparing": "Loading the model.",
    "validating": "Checking the data.",
    "tokenizing": "Tokenizing the data.",
    "training": "Training.",
    "evaluating": "Evaluating.",
    "saving": "Saving a checkpoint.",
    "publishing": "Publishing the model.",
    "predicting": "Predicting.",
    "exporting": "Exporting the model.",
    "comparing": "Asking the export and the model the same.",
}
QUIET_PHASES = frozenset({"evaluating", "saving"})
"""They alternate with training many times; the job shows them, its story does not."""


class Relay:
    """Keeps what could not be written while the database was away, and writes it when it is back."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.pending: list[Message] = []
        self.recorded_step = 0
        """Of the newest checkpoint that stands in the database."""
        self.replaced: list[Path] = []
        """Folders of checkpoints that the database does not name any more, for who is to remove them."""
        self._phase: str | None = None

    def flush(self) -> JobRequest | None:
        """Write all pending messages and renew the lease; what was asked of the job.

        Raises ClaimLost, or SQLAlchemyError when the database is away, after which everything is still pending. A message
        that can never be stored is logged and dropped, so that it does not hold up the others and the lease.
        """
        batch = list(self.pending)
        try:
            request = self._store(batch)
        except ClaimLost:
            raise
        except Exception as error:
            if is_outage(error):
                raise
            return self._flush_one_by_one(batch)
        del self.pending[: len(batch)]
        return request

    def _flush_one_by_one(self, batch: list[Message]) -> JobRequest | None:
        for message in batch:
            try:
                self._store([message])
            except ClaimLost:
                raise
            except Exception as error:
                if is_outage(error):
                    raise
                log.exception("a message of the trainer cannot be stored", job_id=self.claim.job_id, type=message.type)
            del self.pending[0]
        return self._store([])

    def _store(self, batch: list[Message]) -> JobRequest | None:
        """Write ``batch`` in one transaction, or nothing of it; what was asked of the job."""
        phase_before = self._phase
        try:
            return self._store_all(batch)
        except BaseException:
            self._phase = phase_before
            raise

    def _store_all(self, batch: list[Message]) -> JobRequest | None:
        with transaction() as session:
            columns: dict[str, Any] = {}
            lifecycle.write(session, self.claim)  # first: a lost claim must write nothing at all
            for message in batch:
                columns |= self._apply(session, message, columns)
            if columns:
                lifecycle.write(session, self.claim, **columns)
            request = lifecycle.asked_for(session, self.claim)
            if batch:
                failpoints.reach("relay.written")
        if batch:
            failpoints.reach("relay.stored")
        if "latest_metrics" in columns:
            study_driver.wake()
        saved = [message for message in batch if isinstance(message, CheckpointMessage)]
        self.recorded_step = max([self.recorded_step, *(message.step for message in saved)])
        self.replaced += [Path(path) for message in saved for path in message.deleted]
        return request

    def _apply(self, session: Session, message: Message, so_far: dict[str, Any]) -> dict[str, Any]:
        """Store one message; the columns of the job that it changes."""
        match message:
            case PhaseMessage():
                return self._on_phase(session, message)
            case ProgressMessage():
                self._reached(session, message.step)
                return {"progress": _progress(message)}
            case MetricsMessage():
                return self._on_metrics(session, message)
            case CheckpointMessage():
                return self._on_checkpoint(session, message)
            case ResolvedMessage() | DataReportMessage():
                return message.model_dump(mode="json", exclude={"type"})
            case StartedMessage() | BegunMessage():
                return self._on_started(session, message)
            case MistakesMessage():
                records.put_mistakes(session, self.claim.job_id, **message.model_dump(mode="json", exclude={"type"}))
            case WarningMessage():
                return self._on_warning(session, message, so_far)
            case LogMessage():
                events.append(session, self.claim.job_id, message.message, level=message.level, data=message.data)
            case CorruptMessage():
                self._on_corrupt(session, message)
            case AliveMessage():
                pass
            case _:
                log.error("unexpected message", job_id=self.claim.job_id, type=message.type)
        return {}

    def _on_phase(self, session: Session, message: PhaseMessage) -> dict[str, Any]:
        if message.phase not in QUIET_PHASES and message.phase != self._phase:
            self._phase = message.phase
            words = PHASE_WORDS.get(message.phase, message.phase)
            events.append(session, self.claim.job_id, words, kind="phase", data={"phase": message.phase})
        return {"phase": message.phase}

    def _on_started(self, session: Session, message: StartedMessage | BegunMessage) -> dict[str, Any]:
        attempt = repository.attempt(session, self.claim)
        assert attempt is not None
        attempt.resumed_from_step = message.resumed_from_step
        attempt.last_step = message.resumed_from_step
        told = message.model_dump(exclude={"type", "message"})
        events.append(session, self.claim.job_id, _started_words(message), data=told)
        done = message.resumed_from_step / max(1, message.max_steps)
        reached = ProgressMessage(
            step=message.resumed_from_step,
            max_steps=message.max_steps,
            epoch=done * message.num_epochs if isinstance(message, StartedMessage) else 0.0,
        )
        return {"progress": _progress(reached)}  # what an earlier attempt did beyond is done again

    def _on_metrics(self, session: Session, message: MetricsMessage) -> dict[str, Any]:
        moment = utc_now()
        rows = [
            {"job_id": self.claim.job_id, "created_at": moment, **point.model_dump()}
            for point in {(point.step, point.name): point for point in message.points}.values()
        ]
        records.upsert_metrics(session, rows)
        return self._latest(session, message)

    def _latest(self, session: Session, message: MetricsMessage) -> dict[str, Any]:
        """The newest evaluation, as one object; its arrival is an event."""
        evaluated = [point for point in message.points if point.name.startswith("eval/")]
        if not evaluated:
            return {}
        step = max(point.step for point in evaluated)
        latest: dict[str, float] = {"step": step}
        for point in evaluated:
            if point.step == step:
                latest |= {"epoch": point.epoch, point.name: point.value}
        scores = ", ".join(f"{n.removeprefix('eval/')} {v:.4f}" for n, v in latest.items() if n.startswith("eval/"))
        events.append(session, self.claim.job_id, f"Evaluation at step {step}: {scores}.", kind="metrics", data=latest)
        return {"latest_metrics": latest}

    def _on_checkpoint(self, session: Session, message: CheckpointMessage) -> dict[str, Any]:
        if message.is_best:
            records.clear_best(session, self.claim.job_id)
        session.add(
            Checkpoint(
                id=ids.new_id(ids.CHECKPOINT),
                job_id=self.claim.job_id,
                attempt=self.claim.attempt,
                step=message.step,
                epoch=message.epoch,
                path=self._relative(message.path),
                manifest_sha256=message.manifest_sha256,
                size_bytes=message.size_bytes,
                metrics=message.metrics,
                is_best=message.is_best,
                created_at=utc_now(),
            )
        )
        session.flush()
        if message.deleted:
            gone = [self._relative(path) for path in message.deleted]
            records.mark_checkpoints(session, self.claim.job_id, paths=gone, state="deleted")
        self._reached(session, message.step)
        if not message.is_best:
            return {}
        return {"best_metrics": {"step": message.step, "epoch": message.epoch, **message.metrics}}

    def _reached(self, session: Session, step: int) -> None:
        attempt = repository.attempt(session, self.claim)
        assert attempt is not None
        attempt.last_step = max(
            step, attempt.last_step or 0
        )  # a checkpoint is told later where it goes to a store first

    def _on_warning(self, session: Session, message: WarningMessage, so_far: dict[str, Any]) -> dict[str, Any]:
        job = repository.get(session, self.claim.job_id)
        assert job is not None
        warnings: Sequence[dict[str, str]] = so_far.get("warnings", job.warnings)
        warning = {"code": message.code, "message": message.message}
        if warning in warnings:
            return {}
        events.append(session, self.claim.job_id, message.message, level="warn", data={"code": message.code})
        return {"warnings": [*warnings, warning]}

    def _on_corrupt(self, session: Session, message: CorruptMessage) -> None:
        records.mark_checkpoints(session, self.claim.job_id, paths=[self._relative(message.path)], state="corrupt")
        events.append(session, self.claim.job_id, message.message, level="warn", data={"code": "checkpoint_corrupt"})

    def _relative(self, path: str) -> str:
        """To the folder of all jobs. Raises ValueError for a path that is not of this job."""
        jobs_dir = get_settings().jobs_dir.resolve()
        own = Path(path).resolve().relative_to(jobs_dir / self.claim.job_id)  # it may be a symbolic link
        return f"{self.claim.job_id}/{own.as_posix()}"


def _started_words(message: StartedMessage | BegunMessage) -> str:
    if isinstance(message, BegunMessage):
        return message.message
    if message.resumed_from_step:
        return f"Training goes on from step {message.resumed_from_step} of {message.max_steps}."
    return f"Training on {message.num_examples.get('train', 0)} examples for {message.max_steps} steps."


def _progress(message: ProgressMessage) -> dict[str, Any]:
    fraction = message.step / message.max_steps if message.max_steps else 0.0
    return {**message.model_dump(exclude={"type"}), "fraction": min(1.0, fraction)}
