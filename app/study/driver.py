"""The thread that drives studies: in every api and worker process one, and any number of them may do the same at once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from sqlalchemy.exc import DBAPIError

from app import caller
from app.caller import Caller
from app.config import get_settings
from app.db import fit, reading
from app.study import driving, repository

log = structlog.get_logger(__name__)

_woken: Final = threading.Event()


def wake() -> None:
    """Look at the studies soon: something of them may have changed. Costs nothing where there are none."""
    _woken.set()


@contextmanager
def running() -> Iterator[None]:
    """Drive in a thread while the block runs: when it is woken, and every ``TUNERY_SWEEP_SECONDS``."""
    stopped = threading.Event()

    def rounds() -> None:
        while not stopped.is_set():
            _woken.clear()
            once()
            _woken.wait(get_settings().sweep_seconds)

    thread = threading.Thread(target=rounds, name="studies", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        _woken.set()
        thread.join(timeout=5)


def once() -> None:
    """One round over all studies that are not over. One that cannot be driven does not keep others from it."""
    try:
        with reading() as session:
            unfinished = repository.unfinished(session) if fit(session).problem is None else []
    except DBAPIError as error:
        log.warning("the studies cannot be looked at", error=str(error))
        return
    for study_id, project_id in unfinished:
        try:
            with caller.acting_for(Caller(project_id=project_id)):  # its trials are jobs of the project
                driving.drive(study_id)
        except DBAPIError as error:
            log.warning("the database went away while a study was driven", study_id=study_id, error=str(error))
        except Exception:  # a thread that ended would leave all studies standing
            log.exception("a study could not be driven", study_id=study_id)
