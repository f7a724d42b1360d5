"""How the worker listens to the broker: it outlives whatever is in the queue, and is soon back after an outage.

A wake-up is worth nothing beyond "look", so one that cannot be read is dropped. Celery would end the worker over it, and
with the worker the jobs that it runs.
"""

from functools import partial
from typing import Any, Final

import structlog
from celery.worker.consumer import Consumer
from kombu import Connection
from kombu.transport import redis

log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS: Final = 1
PAUSE_GROWS_BY_SECONDS: Final = 1
LONGEST_PAUSE_SECONDS: Final = 5
"""Between two tries to reach the broker. Celery's own pause grows up to 30 s."""


class PatientConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer, on Redis with a channel that drops what is no message."""

    def ensure_connected(self, conn: Connection) -> Connection:
        """``conn`` once the broker has answered, however long that takes."""
        if conn.get_transport_cls() is redis.Transport:
            conn.transport_cls = _Transport
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=FIRST_PAUSE_SECONDS,
            interval_step=PAUSE_GROWS_BY_SECONDS,
            interval_max=LONGEST_PAUSE_SECONDS,
        )
        return super().ensure_connected(conn)


class _Channel(redis.Channel):  # type: ignore[misc]
    def _brpop_read(self, **options: Any) -> Any:
        """True once a message was taken, also one that cannot be read."""
        try:
            return super()._brpop_read(**options)
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            # No JSON, or JSON of another shape. What the connection itself raises has types of its own.
            log.warning("what lay in the queue is no wake-up", error=repr(error)[:500])
            return True


class _Transport(redis.Transport):  # type: ignore[misc]
    Channel = _Channel
