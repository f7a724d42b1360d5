"""The states of a job and the table of allowed transitions. Nothing else changes a status.

Cancel, pause, stop and drain are requests, not states: the state changes when it is true.
"""

from enum import StrEnum
from typing import Final


class JobStatus(StrEnum):
    QUEUED = "queued"
    """Stored; waiting for a worker."""
    RUNNING = "running"
    """Claimed by a worker, whose lease has not ended."""
    PAUSED = "paused"
    """Stopped on request, with a checkpoint; waits for ``resume``."""
    SUCCEEDED = "succeeded"
    """What it was to make is there: its model can be asked, its files can be read."""
    FAILED = "failed"
    """Ended without a result; ``error`` says why."""
    CANCELLED = "cancelled"
    """Ended on request; no process of it lives."""


class JobRequest(StrEnum):
    """What was asked of a job, until it is done; only a cancel takes the place of another."""

    CANCEL = "cancel"
    PAUSE = "pause"
    STOP = "stop"
    """Train no further and publish the best model so far."""


class JobPhase(StrEnum):
    """Where a running job is."""

    PREPARING = "preparing"
    VALIDATING = "validating"
    TOKENIZING = "tokenizing"
    TRAINING = "training"
    EVALUATING = "evaluating"
    SAVING = "saving"
    PUBLISHING = "publishing"
    PREDICTING = "predicting"
    EXPORTING = "exporting"
    COMPARING = "comparing"
    """An export is asked the same as the model that it was made from."""


TERMINAL: Final = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})

TRANSITIONS: Final[dict[JobStatus, frozenset[JobStatus]]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.CANCELLED}),
    JobStatus.RUNNING: frozenset(
        {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.PAUSED, JobStatus.QUEUED}
    ),
    JobStatus.PAUSED: frozenset({JobStatus.QUEUED, JobStatus.CANCELLED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}


def check_transition(current: JobStatus, target: JobStatus) -> None:
    """Raise ValueError unless a job may go from ``current`` to ``target``."""
    if target not in TRANSITIONS[current]:
        msg = f"a job cannot go from {current} to {target}"
        raise ValueError(msg)
