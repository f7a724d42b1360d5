"""Which parts of the service answer."""

from datetime import timedelta
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy.exc import DBAPIError

from app.config import get_settings
from app.db import fit, now, reading
from app.job import repository
from app.prediction import routing
from app.task_queue import BROKER_TIMEOUT_SECONDS

SWEEPS_UNTIL_SILENT = 3


def stored_parts() -> tuple[dict[str, bool], str | None]:
    """``database``, ``schema``, ``worker`` and ``broker``, and what is wrong with the schema if it does not fit this version.

    Blocks for a second at most if the broker hangs.
    """
    parts = {"database": False, "schema": False, "worker": False, "broker": _broker_answers()}
    problem = None
    try:
        with reading() as session:
            silent = timedelta(seconds=get_settings().sweep_seconds * SWEEPS_UNTIL_SILENT)
            parts["worker"] = repository.worker_seen_since(session, now(session) - silent)
            problem = fit(session).problem
            parts |= {"database": True, "schema": problem is None}
    except DBAPIError:
        pass
    return parts, problem


async def predictor_answers() -> bool:
    return bool(await routing.is_alive())


def _broker_answers() -> bool:
    """Asked once: redis-py would try thrice more, with pauses, for whoever wants an answer and not a state."""
    url = get_settings().broker
    options: dict[str, Any] = {"socket_timeout": BROKER_TIMEOUT_SECONDS, "retry": Retry(NoBackoff(), 0)}
    try:
        if url.startswith("redis+socket://"):
            client = redis.Redis(unix_socket_path=url.removeprefix("redis+socket://"), **options)
        else:
            client = redis.Redis.from_url(url, socket_connect_timeout=BROKER_TIMEOUT_SECONDS, **options)
        with client:
            return bool(client.ping())
    except redis.RedisError:
        return False
