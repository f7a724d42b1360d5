"""The database: engine, transactions, base class and column types."""

from app.db.base import Base, Instant, Json
from app.db.engine import create_database_engine, dispose, get_engine, now, reading, transaction

__all__ = [
    "Base",
    "Instant",
    "Json",
    "create_database_engine",
    "dispose",
    "get_engine",
    "now",
    "reading",
    "transaction",
]
