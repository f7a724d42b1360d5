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
"""Without the nursery, whose imports take longer than the rest of a start."""

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

    assert up.stop(signal.SIGINT) == 0
    assert up.children() == {}


def _ready_or_false(url):
    try:
        return ready(url)
    except OSError:
        return False


def test_of_two_homes_one_is_killed_and_starts_again_while_the_other_runs(start_up, tmp_path):
    first, second = start_up(tmp_path / "one"), start_up(tmp_path / "two", **COLD)
    url = first.wait_ready()
    assert url != second.wait_ready()
    assert ready(url)
    broker, others = first.pid_of("valkey-server"), {part: second.pid_of(part) for part in PARTS}
    assert len(first.children()) > len(PARTS), "with the nursery"

    # kill -9 of the supervisor ends all its parts, but for a broker that hangs: it ignores the signal that it is sent.
    os.kill(broker, signal.SIGSTOP)
    first.process.kill()
    first.process.wait()
    assert eventually(lambda: first.children().keys() == {broker}, seconds=10), first.children()

    again = start_up(first.home, port=int(url.rpartition(":")[2]), **COLD)
    assert again.wait_ready() == url
    assert eventually(lambda: sum("valkey-server" in line for line in again.children().values()) == 1)
    assert broker not in again.children()
    assert {part: second.pid_of(part) for part in PARTS} == others

    # Nobody's broker hangs: then nothing is left.
    again.process.kill()
    again.process.wait()
    assert eventually(lambda: again.children() == {}, seconds=10), again.children()

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
