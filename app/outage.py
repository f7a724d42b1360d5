"""What the errors of the database, and of the store of artefacts, mean."""

from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.storage import StoreUnavailable


def is_outage(error: Exception) -> bool:
    """Whether the database or the store could not do its work just now, rather than refuse for good what it was given."""
    if isinstance(error, StoreUnavailable):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, OperationalError | InterfaceError | InternalError | PoolTimeoutError)
