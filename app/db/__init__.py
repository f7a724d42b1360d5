"""The database: engine, transactions, base class and column types."""

from app.db.base import Base, Instant, Json
from app.db.engine import create_database_engine, dispose, get_engine, now, reading, transaction
from app.db.owned import Owned, seen_with_its_owner

__all__ = [
    "Base",
    "Instant",
    "Json",
    "Owned",
    "create_database_engine",
    "dispose",
    "get_engine",
    "now",
    "reading",
    "seen_with_its_owner",
    "transaction",
]
