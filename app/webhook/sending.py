"""The leaderless loop that sends what webhooks are to be told. It runs in every process; a claim keeps them apart."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from sqlalchemy.exc import DBAPIError

from app.webhook import service

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 1.0
OUTAGE_SECONDS: Final = 5.0
MOST_AT_A_TIME: Final = 8


class _Sending:
    """A thread for each webhook that something is due for, so that none waits for another that hangs."""

    def __init__(self) -> None:
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def once(self, stop: threading.Event) -> None:
        """Begin to send to all that can be begun with. Raises DBAPIError when the database is away."""
        with self._lock:
            busy = set(self._busy)
        if len(busy) >= MOST_AT_A_TIME:
            return
        for webhook_id in service.due(but_for=busy, limit=MOST_AT_A_TIME - len(busy)):
            with self._lock:
                self._busy.add(webhook_id)
            name = f"webhook-{webhook_id}"
            threading.Thread(target=self._send_all, args=(webhook_id, stop), name=name, daemon=True).start()

    def _send_all(self, webhook_id: str, stop: threading.Event) -> None:
        try:
            while not stop.is_set() and service.deliver_next(webhook_id):
                pass
        except DBAPIError as error:
            log.warning("webhooks cannot reach the database", error=str(error))
        except Exception:  # what was claimed is sent again when its claim has ended
            log.exception("a webhook could not be told", webhook_id=webhook_id)
        finally:
            with self._lock:
                self._busy.discard(webhook_id)


@contextmanager
def running() -> Iterator[None]:
    """Send in threads while the block runs. What is being sent at its end is sent again by whoever comes next."""
    stop = threading.Event()
    sending = _Sending()

    def rounds() -> None:
        while not stop.is_set():
            pause = POLL_SECONDS
            try:
                sending.once(stop)
            except DBAPIError as error:
                pause = OUTAGE_SECONDS
                log.warning("webhooks cannot reach the database", error=str(error))
            except Exception:  # a thread that ended would leave webhooks untold
                pause = OUTAGE_SECONDS
                log.exception("a round of webhooks failed")
            stop.wait(pause)

    thread = threading.Thread(target=rounds, name="webhooks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)
