"""The Celery application. A message is an empty wake-up: it names no job and carries no authority.

A woken worker claims the best eligible job from the database, so a lost, doubled or forged message does no harm.
"""

import contextlib
import queue
import threading
from functools import lru_cache
from typing import Final

import structlog
from celery import Celery
from kombu import Exchange, Queue
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from app.config import Settings, get_settings

log = structlog.get_logger(__name__)

QUEUE: Final = "tunery"
TASK: Final = "tunery.run_available_jobs"
BROKER_TIMEOUT_SECONDS: Final = 1.0
MOST_WAITING: Final = 64
"""Wake-ups that are left in the queue while no worker takes them. All are alike, so more would do nothing more."""


def create_celery(settings: Settings) -> Celery:
    celery = Celery("tunery", broker=settings.broker, set_as_current=False)
    celery.conf.update(
        task_default_queue=QUEUE,
        # A wake-up is gone once it is taken: one that waits to be acknowledged would keep the worker from taking the next,
        # and one that cannot be read is never acknowledged.
        task_queues=[Queue(QUEUE, Exchange(QUEUE), routing_key=QUEUE, no_ack=True)],
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
        broker_channel_error_retry=True,  # a broker that refuses (full disk, read-only replica) is one that is away
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


def wake_workers() -> None:
    """Ask for a wake-up to be sent soon, best effort. Call it after the commit; it never waits for the broker."""
    _waker.ask()


def send_wake_up() -> bool:
    """Send a wake-up; False when the broker did not take it, which may take a second or two to find out."""
    try:
        with get_celery().producer_pool.acquire(block=True) as producer:
            if producer.channel.client.llen(QUEUE) < MOST_WAITING:
                get_celery().send_task(TASK, producer=producer)
    except (OperationalError, RedisError, OSError) as error:
        log.warning("the broker took no wake-up; workers will look by themselves", error=str(error))
        return False
    return True


class _Waker:
    """A thread that talks to the broker, so that no request waits for one that hangs, nor requests for each other."""

    def __init__(self) -> None:
        self._asked: queue.Queue[None] = queue.Queue(maxsize=MOST_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ask(self) -> None:
        with contextlib.suppress(queue.Full):
            self._asked.put_nowait(None)
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._send, name="waker", daemon=True)
                self._thread.start()

    def _send(self) -> None:
        while True:
            self._asked.get()
            if not send_wake_up():
                self._forget()

    def _forget(self) -> None:
        """What was asked for meanwhile would fare no better."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._asked.get_nowait()


_waker: Final = _Waker()
