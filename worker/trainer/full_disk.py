"""A full disk: wait a little for room, then leave; the job goes on from its last checkpoint when it is tried again."""

import time
from collections.abc import Callable
from typing import Final

from app.disk import is_full
from app.spec.messages import ErrorMessage
from worker.trainer.reporting import Reporter

PAUSES_SECONDS: Final = (1.0, 4.0, 15.0, 30.0)
"""Between tries to write a checkpoint: room comes from other jobs that rotate theirs, or from somebody who cleans up."""


def written_when_there_is_room(write: Callable[[], None], *, what: str, report: Reporter) -> None:
    """Call ``write``, which leaves nothing when it fails, until the disk has room for it. Raises its last error."""
    for pause in PAUSES_SECONDS:
        try:
            write()
        except Exception as error:
            if not is_full(error):
                raise
            report.warn("disk_full", f"the disk is full: {what} could not be written, and is tried again")
            time.sleep(pause)
        else:
            return
    write()


def told(error: Exception) -> ErrorMessage | None:
    """What the user is to read of an error that ends the trainer; None if it has nothing to do with the disk."""
    if not is_full(error):
        return None
    return ErrorMessage(
        code="disk_full",
        message="The disk is full; what the trainer wanted to write did not fit.",
        hint="Delete files or models, or enlarge the disk; GET /jobs/{id}/checkpoints lists what is intact.",
    )
