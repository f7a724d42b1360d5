"""The embedded Valkey for real."""

import os
import signal
import subprocess

import pytest

from app.config import Settings
from app.stack import broker
from app.stack.home import prepare_folders
from tests.stack.processes import eventually


@pytest.fixture
def settings(tmp_path):
    found = Settings(home=tmp_path / "home")
    prepare_folders(found)
    return found


@pytest.fixture
def start(settings):
    started = []

    def start():
        broker.retire_old(settings)
        process = subprocess.Popen(broker.broker_command(settings), stdout=subprocess.DEVNULL)
        started.append(process)
        assert eventually(lambda: broker.answers(settings))
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_what_was_queued_survives_a_kill(settings, start):
    redis = pytest.importorskip("redis")
    first = start()
    with redis.Redis(unix_socket_path=str(broker.socket_path(settings))) as client:
        client.rpush("queue", *range(200))
    first.kill()
    first.wait()
    start()
    with redis.Redis(unix_socket_path=str(broker.socket_path(settings))) as client:
        assert client.llen("queue") == 200
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_it_listens_on_no_port_and_only_its_owner_may_use_the_socket(settings, start):
    start()
    assert broker.socket_path(settings).stat().st_mode & 0o777 == 0o700
    with pytest.importorskip("redis").Redis(unix_socket_path=str(broker.socket_path(settings))) as client:
        assert client.config_get("port") == {"port": "0"}


def test_a_hung_broker_of_an_earlier_run_is_replaced(settings, start, monkeypatch):
    monkeypatch.setattr(broker, "OLD_BROKER_PATIENCE_SECONDS", 0.3)
    old = start()
    os.kill(old.pid, signal.SIGSTOP)
    assert not broker.answers(settings, timeout_seconds=0.3)
    new = start()
    assert new.pid != old.pid
    assert old.wait(timeout=5) == -signal.SIGKILL


def test_a_stranger_with_the_old_number_is_left_alone(settings):
    broker.data_dir(settings).mkdir()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (settings.run_dir / "valkey.pid").write_text(str(stranger.pid))
        broker.retire_old(settings)
        assert stranger.poll() is None
        assert not (settings.run_dir / "valkey.pid").exists()
    finally:
        stranger.kill()
        stranger.wait()
