"""The states of a study and of its trials. A request (cancel, prune) is no state: the state changes when it is true."""

from enum import StrEnum
from typing import Final


class StudyStatus(StrEnum):
    QUEUED = "queued"
    """Stored; none of its trials has begun to run."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    """It is over, and one of its trials at least has a value."""
    FAILED = "failed"
    """It is over without a value, or too many trials failed one after the other; ``error`` says why."""
    CANCELLED = "cancelled"
    """Ended on request; the best model until then is kept."""


class StudyRequest(StrEnum):
    """What was asked of a study."""

    CANCEL = "cancel"


class TrialState(StrEnum):
    """Optuna's words, and ``cancelled`` for what was ended from outside."""

    RUNNING = "running"
    """Its job is not over: it may also wait, or be paused."""
    COMPLETE = "complete"
    """Its job has succeeded, and the trial has a value."""
    PRUNED = "pruned"
    """Its job was ended since it promised less than others."""
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL: Final = frozenset({StudyStatus.SUCCEEDED, StudyStatus.FAILED, StudyStatus.CANCELLED})

TRANSITIONS: Final[dict[StudyStatus, frozenset[StudyStatus]]] = {
    StudyStatus.QUEUED: frozenset({StudyStatus.RUNNING, StudyStatus.FAILED, StudyStatus.CANCELLED}),
    StudyStatus.RUNNING: TERMINAL,
    StudyStatus.SUCCEEDED: frozenset(),
    StudyStatus.FAILED: frozenset(),
    StudyStatus.CANCELLED: frozenset(),
}


def check_transition(current: StudyStatus, target: StudyStatus) -> None:
    """Raise ValueError unless a study may go from ``current`` to ``target``."""
    if target not in TRANSITIONS[current]:
        msg = f"a study cannot go from {current} to {target}"
        raise ValueError(msg)
