"""The Celery application. A message is an empty wake-up: it names no job and carries no authority.

A woken worker claims the best eligible job from the database, so a lost, doubled or forged message does no harm.
"""

from functools import lru_cache
from typing import Final

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

from app.config import Settings, get_settings

log = structlog.get_logger(__name__)

QUEUE: Final = "tunery"
TASK: Final = "tunery.run_available_jobs"
BROKER_TIMEOUT_SECONDS: Final = 1.0


def create_celery(settings: Settings) -> Celery:
    celery = Celery("tunery", broker=settings.broker, set_as_current=False)
    celery.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=BROKER_TIMEOUT_SECONDS,
        # A hung Redis blocks a publisher for ever without these.
        broker_transport_options={
            "socket_timeout": BROKER_TIMEOUT_SECONDS,
            "socket_connect_timeout": BROKER_TIMEOUT_SECONDS,
        },
        task_publish_retry=False,
        task_publish_retry_policy={"max_retries": 0},
    )
    return celery


@lru_cache(maxsize=1)
def get_celery() -> Celery:
    """This process's application, made on first use from the settings."""
    return create_celery(get_settings())


def wake_workers() -> bool:
    """Send a wake-up, best effort: False when the broker did not take it. Call it after the commit."""
    try:
        get_celery().send_task(TASK, expires=60)
    except (OperationalError, OSError) as error:
        log.warning("the broker took no wake-up; workers will look by themselves", error=str(error))
        return False
    return True
