"""Which parts of the service answer."""

from datetime import timedelta

import redis
from sqlalchemy.exc import DBAPIError

from app.config import get_settings
from app.db import now, reading
from app.job import repository
from app.prediction import routing
from app.task_queue import BROKER_TIMEOUT_SECONDS

SWEEPS_UNTIL_SILENT = 3


def stored_parts() -> dict[str, bool]:
    """``database``, ``worker`` and ``broker``; blocks for a second at most if the broker hangs."""
    parts = {"database": False, "worker": False, "broker": _broker_answers()}
    try:
        with reading() as session:
            silent = timedelta(seconds=get_settings().sweep_seconds * SWEEPS_UNTIL_SILENT)
            parts["worker"] = repository.worker_seen_since(session, now(session) - silent)
            parts["database"] = True
    except DBAPIError:
        pass
    return parts


async def predictor_answers() -> bool:
    return bool(await routing.is_alive())


def _broker_answers() -> bool:
    url = get_settings().broker
    try:
        if url.startswith("redis+socket://"):
            client = redis.Redis(
                unix_socket_path=url.removeprefix("redis+socket://"), socket_timeout=BROKER_TIMEOUT_SECONDS
            )
        else:
            client = redis.Redis.from_url(
                url, socket_timeout=BROKER_TIMEOUT_SECONDS, socket_connect_timeout=BROKER_TIMEOUT_SECONDS
            )
        with client:
            return bool(client.ping())
    except redis.RedisError:
        return False
