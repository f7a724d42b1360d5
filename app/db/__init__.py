"""The database: engine, transactions, base class and column types."""

from app.db.base import Base, Instant, Json
from app.db.engine import create_database_engine, dispose, get_engine, now, reading, transaction
from app.db.owned import Owned, OwnedOrShared, seen_with_its_owner
from app.db.schema import Fit, SchemaSupport, fit

__all__ = [
    "Base",
    "Fit",
    "Instant",
    "Json",
    "Owned",
    "OwnedOrShared",
    "SchemaSupport",
    "create_database_engine",
    "dispose",
    "fit",
    "get_engine",
    "now",
    "reading",
    "seen_with_its_owner",
    "transaction",
]
