"""Counts that belong to a transaction: what is rolled back was never counted, and every process tells the same.

The numbers of a transaction are added just before it commits, in one statement and in one order: whoever holds a row of them
waits for nothing any more, so that they are never in each other's way for long, and never in a circle.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from app.metrics.models import StoredTally

_PENDING: Final = "tallies"
SUM: Final = "sum"
"""In the place of a bucket's bound: all values together."""
BOUNDS: Final = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400, 172800)
"""Seconds: jobs wait and run from a second to days."""


def count(session: Session, name: str, *labels: str, by: float = 1) -> None:
    """Add to a number when the transaction commits."""
    pending: dict[tuple[str, str], float] = session.info.setdefault(_PENDING, {})
    key = (name, "/".join(labels))
    pending[key] = pending.get(key, 0) + by


def observe(session: Session, name: str, seconds: float, *labels: str) -> None:
    """Add a value to a histogram when the transaction commits."""
    index = bisect_left(BOUNDS, seconds)
    count(session, name, *labels, str(BOUNDS[index]) if index < len(BOUNDS) else "+Inf")
    count(session, name, *labels, SUM, by=max(0.0, seconds))


@event.listens_for(Session, "before_commit")
def _add(session: Session) -> None:
    pending: dict[tuple[str, str], float] = session.info.pop(_PENDING, {})
    if not pending:
        return
    rows: Sequence[dict[str, Any]] = [
        {"name": name, "labels": labels, "value": by} for (name, labels), by in sorted(pending.items())
    ]
    insert = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgres_insert
    statement = insert(StoredTally).values(rows)
    added = {"value": StoredTally.value + statement.excluded.value}
    session.execute(statement.on_conflict_do_update(index_elements=["name", "labels"], set_=added))
