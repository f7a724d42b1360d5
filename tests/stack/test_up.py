"""`tunery up` as a user meets it: real processes, killed and stopped for real."""

import os
import signal
import socket
import sys
import urllib.request

import pytest

from tests.stack.processes import eventually

pytestmark = [
    pytest.mark.xdist_group("stack"),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and relies on parent-death signals"),
]

COLD = {"TUNERY_WARM_START": "false"}
"""Without the nursery, whose imports take longer than the rest of a start; the first test and the third have one."""

PARTS = ("valkey-server", "app.cli serve", "worker.main", "worker.predictor")


def ready(url):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/health/ready", timeout=10) as answer:
        return answer.status == 200


def test_the_service_starts_repairs_itself_and_stops_leaving_nothing(start_up, tmp_path):
    up = start_up(tmp_path / "home")
    url = up.wait_ready()
    assert ready(url)

    # Every process says what it is and whose.
    pids = {part: up.pid_of(part) for part in PARTS}
    assert None not in pids.values(), up.children()

    # Each part that is killed comes back, and the log says so.
    for part, pid in pids.items():
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda part=part, pid=pid: up.pid_of(part) not in {None, pid}), f"{part}\n{up.log()}"
    assert up.log().count("part died, restarting it") == len(PARTS)
    assert "signal SIGKILL" in up.log()
    assert eventually(lambda: _ready_or_false(url), seconds=60), up.log()

    # A second one of the same home is refused with the address of the first.
    second = start_up(up.home)
    assert second.process.wait(timeout=30) == 1
    assert url in second.log()
    assert str(up.process.pid) in second.log()
    assert up.process.poll() is None

    assert up.stop() == 0
    assert up.children() == {}


def _ready_or_false(url):
    try:
        return ready(url)
    except OSError:
        return False


def test_after_kill_9_the_next_start_succeeds_on_the_same_home_and_port(start_up, tmp_path):
    first = start_up(tmp_path / "home", **COLD)
    url = first.wait_ready()
    port = int(url.rpartition(":")[2])
    # A broker that hangs ignores the signal that its parent's death sends it.
    os.kill(first.pid_of("valkey-server"), signal.SIGSTOP)
    first.process.kill()
    first.process.wait()

    second = start_up(first.home, port=port, **COLD)
    assert second.wait_ready() == url
    assert eventually(lambda: sum("valkey-server" in line for line in second.children().values()) == 1)
    assert second.stop(signal.SIGINT) == 0
    assert second.children() == {}


def test_kill_9_of_the_supervisor_ends_all_its_parts(start_up, tmp_path):
    up = start_up(tmp_path / "home")
    up.wait_ready()
    assert len(up.children()) >= len(PARTS)
    up.process.kill()
    up.process.wait()
    assert eventually(lambda: up.children() == {}, seconds=10), up.children()


def test_two_homes_run_side_by_side(start_up, tmp_path):
    first, second = start_up(tmp_path / "one", **COLD), start_up(tmp_path / "two", **COLD)
    urls = {first.wait_ready(), second.wait_ready()}
    assert len(urls) == 2
    assert all(ready(url) for url in urls)
    assert first.stop() == 0
    assert all(second.pid_of(part) for part in PARTS)

    # A part that does not stop is waited for, until a second Ctrl-C.
    os.kill(second.pid_of("worker.main"), signal.SIGSTOP)
    second.process.send_signal(signal.SIGINT)
    assert eventually(lambda: "stopping" in second.log())
    assert second.process.poll() is None
    assert second.stop(signal.SIGINT) == 130
    assert second.children() == {}


def test_a_port_in_use_is_an_error_at_once(start_up, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = start_up(tmp_path / "home", port=port)
        assert up.process.wait(timeout=20) == 1
    assert f"port {port} of 127.0.0.1 is in use" in up.log()
    assert "--port" in up.log()
    assert up.children() == {}
