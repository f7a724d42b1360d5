"""A claim that is kept alive while something long is brought from the store, or into it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app import storage
from app.config import get_settings
from app.db import transaction
from app.job import lifecycle
from app.job.lifecycle import ClaimLost
from app.job.repository import Claim

log = structlog.get_logger(__name__)

BEATS_PER_LEASE = 4


@contextmanager
def renewed(claim: Claim) -> Iterator[None]:
    """The lease is renewed while the block runs. That the claim is lost is for the block's own writes to find out."""
    if storage.remote_store() is None:
        yield
        return
    over = threading.Event()

    def beat() -> None:
        while not over.wait(get_settings().lease_seconds / BEATS_PER_LEASE):
            try:
                with transaction() as session:
                    lifecycle.write(session, claim)
            except ClaimLost:
                return
            except SQLAlchemyError as error:
                log.warning("the lease was not renewed", error=str(error))

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
