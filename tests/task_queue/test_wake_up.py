"""Wake-ups over a real broker that is there, hangs, is gone, or is asked by nobody (rows R1 and R2)."""

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from app import task_queue
from app.config import get_settings
from app.stack import broker
from app.stack.home import prepare_folders
from tests.stack.processes import eventually


@pytest.fixture
def valkey(settings_home):
    settings = get_settings()
    prepare_folders(settings)
    broker.retire_old(settings)
    process = subprocess.Popen(broker.broker_command(settings), stdout=subprocess.DEVNULL)
    assert eventually(lambda: broker.answers(settings))
    yield process
    process.kill()
    process.wait()


def num_waiting():
    with redis.Redis(unix_socket_path=str(broker.socket_path(get_settings()))) as client:
        return client.llen(task_queue.QUEUE)


def test_wake_ups_that_no_worker_takes_do_not_pile_up(valkey):
    assert all(task_queue.send_wake_up() for _ in range(3 * task_queue.MOST_WAITING))
    assert num_waiting() == task_queue.MOST_WAITING


def test_what_is_asked_for_is_sent(valkey):
    def asked_and_sent():  # what was asked of an earlier test's broker may still be failing, and this with it
        task_queue.wake_workers()
        return num_waiting()

    assert eventually(asked_and_sent)


@pytest.mark.parametrize("trouble", [signal.SIGSTOP, signal.SIGKILL])
def test_nobody_waits_for_a_broker_that_hangs_or_is_gone(valkey, trouble):
    assert task_queue.send_wake_up()
    os.kill(valkey.pid, trouble)

    def ask(_):
        begun = time.monotonic()
        task_queue.wake_workers()
        return time.monotonic() - begun

    with ThreadPoolExecutor(50) as pool:
        assert max(pool.map(ask, range(50))) < 0.5  # of the 1.5 s that a POST may take
    assert task_queue.send_wake_up() is False
