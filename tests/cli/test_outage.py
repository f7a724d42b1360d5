"""A server that goes away while a job is followed."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.cli.client import Client
from app.cli.errors import CliError
from app.cli.follow import Outage, follow, wait
from app.cli.view import watch
from app.client import following

RUNNING = {
    "id": "ftjob-x", "status": "running", "phase": "training", "progress": {"step": 0, "max_steps": None},
    "metrics": {"latest": None}, "spec": {"training": {"metric_for_best_model": "f1"}},
}  # fmt: skip


class JobHandler(BaseHTTPRequestHandler):
    """Tells of one job, whose status the server has; it knows no events."""

    def do_GET(self):
        body = json.dumps(RUNNING | {"status": self.server.job_status}).encode()
        self.send_response(200 if self.path == "/jobs/ftjob-x" else 404)
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server:
    def __init__(self, port=0, *, status="running"):
        self.http = ThreadingHTTPServer(("127.0.0.1", port), JobHandler)
        self.http.job_status = status
        self.port = self.http.server_port
        self._thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()
        self._thread.join()


@pytest.fixture
def quick(monkeypatch):
    """Seconds become fractions of seconds."""
    for name, seconds in {"POLL": 0.02, "RECONNECT": 0.02, "NOTICE": 0.1, "REFUSED": 0.6}.items():
        monkeypatch.setattr(following, f"{name}_SECONDS", seconds)


@pytest.fixture
def server():
    made = Server()
    yield made
    made.http.server_close()


def test_the_patience_for_a_server_that_is_gone_is_half_a_minute_and_silence_a_few_seconds():
    assert following.NOTICE_SECONDS <= 5
    assert following.REFUSED_SECONDS <= 30


def test_a_lost_server_is_told_and_given_up(quick, server, capsys):
    updates = follow(Client(f"http://127.0.0.1:{server.port}"), "ftjob-x")
    next(updates)
    server.stop()
    with pytest.raises(CliError) as raised:
        watch(updates)
    assert raised.value.code == "connection_refused"
    assert capsys.readouterr().err.count("The server is lost, trying again: No server answers at") == 1


def test_a_server_that_comes_back_is_told_and_the_job_followed_to_its_end(quick, server):
    updates = follow(Client(f"http://127.0.0.1:{server.port}"), "ftjob-x")
    next(updates)
    server.stop()
    told = []
    back = None
    try:
        for update in updates:
            if isinstance(update, Outage):
                told.append(update.message)
                back = back or Server(server.port, status="succeeded")
        assert told[0].startswith("The server is lost")
        assert told[1:] == ["The server answers again."]
        assert update.job["status"] == "succeeded"
    finally:
        if back is not None:
            back.stop()


def test_waiting_tells_of_a_lost_server_too(quick, server, monkeypatch):
    client, told = Client(f"http://127.0.0.1:{server.port}"), []
    client.get("/jobs/ftjob-x")  # the first request takes longer
    threading.Timer(0.1, server.stop).start()
    with pytest.raises(CliError, match="No server answers"):
        wait(client, "ftjob-x", on_outage=told.append)
    assert len(told) == 1
