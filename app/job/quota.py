"""How many jobs of a project may wait. How many may run is a condition of its turn (``app.job.turns``)."""

from typing import Final

from sqlalchemy.orm import Session

from app import caller
from app.errors import TooManyRequests
from app.job import repository
from app.key import limits

RETRY_SECONDS: Final = 60.0


def refuse_beyond(session: Session) -> None:
    """Raises TooManyRequests if the project has as many jobs waiting as it may. It cannot get more until the commit."""
    most = limits.held(session, "max_queued_jobs")
    if most is not None and repository.count_queued(session, caller.project_id()) >= most:
        raise TooManyRequests(
            f"{most} jobs of the project are waiting, which is its limit.",
            code="too_many_queued_jobs",
            hint="Wait until some of them run, or cancel some.",
            retry_after_seconds=RETRY_SECONDS,
        )
