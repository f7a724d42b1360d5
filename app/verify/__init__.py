"""``tunery verify``: is what the database says true, and is what it points to there, whole and no more than that?

The checker of the fault matrix (docs/reliability.md). It only reads, so it may run beside a service at work.
"""

from collections.abc import Iterator

from app.verify import artefacts, jobs, processes, studies
from app.verify.finding import Finding

__all__ = ["Finding", "verify"]


def verify(*, thorough: bool = True) -> Iterator[Finding]:
    """Everything that is wrong; nothing if all is well. ``thorough``: every byte of every artefact is read."""
    yield from jobs.check_all()
    yield from studies.check_all()
    yield from artefacts.check_all(thorough=thorough)
    yield from processes.check_all()
