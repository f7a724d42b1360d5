"""Instants are UTC-aware datetimes. Leases never use this clock: they use the database's (``app.db.now``)."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)
