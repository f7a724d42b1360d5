"""The spans of an attempt, which the worker makes of what the trainer says: that one has neither network nor variables for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app import telemetry
from app.job.lifecycle import ClaimedJob

if TYPE_CHECKING:
    from opentelemetry.trace import Span


class AttemptTrace:
    """One supervisor owns it."""

    def __init__(self, span: "Span | None") -> None:
        self._span = span
        self._phase: Span | None = None
        self._phase_name: str | None = None

    def phase(self, name: str) -> None:
        """The trainer is in that phase now."""
        if name == self._phase_name:
            return
        self.end_phase()
        self._phase_name = name
        self._phase = telemetry.start(f"trainer.{name}", {"tunery.phase": name})

    def end_phase(self) -> None:
        if self._phase is not None:
            self._phase.end()
        self._phase = self._phase_name = None

    def trainer_ended(self, exit_code: int, *, error_code: str | None) -> None:
        self.end_phase()
        if self._span is not None:
            self._span.set_attribute("tunery.exit_code", exit_code)
        if error_code is not None:
            telemetry.fail(self._span, error_code)


@contextmanager
def attempt(claimed: ClaimedJob, *, worker_id: str) -> Iterator[AttemptTrace]:
    """A span from the claim to the end of the attempt, in the trace of the request that submitted the job."""
    attributes = {
        "tunery.job_id": claimed.claim.job_id,
        "tunery.job_kind": str(claimed.kind),
        "tunery.attempt": claimed.claim.attempt,
        "tunery.worker_id": worker_id,
    }
    with telemetry.span("job.attempt", attributes, parent=claimed.trace_parent) as span:
        trace = AttemptTrace(span)
        try:
            yield trace
        finally:
            trace.end_phase()
