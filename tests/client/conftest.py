"""The API on a real port, without workers, and a proxy before it that loses answers."""

import contextlib
import http.client
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import uvicorn

from app.client import Tunery


@pytest.fixture
def server_url(sqlite_home):
    from app.main import create_app

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(), log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def tunery(server_url):
    with Tunery(server_url) as client:
        yield client


class _Forwarding(BaseHTTPRequestHandler):
    """Passes requests on; of those that its server is to lose, the answer never comes."""

    protocol_version = "HTTP/1.1"

    def _pass_on(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        upstream = http.client.HTTPConnection(self.server.upstream)
        upstream.request(self.command, self.path, body, {**self.headers, "host": self.server.upstream})
        answer = upstream.getresponse()
        if "event-stream" in answer.getheader("content-type", ""):
            self._stream(answer)
            return
        content = answer.read()
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        if self.server.num_to_lose > 0:
            self.server.num_to_lose -= 1
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(answer.status)
        for name in ("content-type", "x-request-id", "idempotent-replayed", "retry-after"):
            if answer.getheader(name):
                self.send_header(name, answer.getheader(name))
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, answer):
        """A few events of it, then the connection is gone."""
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        with contextlib.suppress(OSError):
            for line in answer:
                self.wfile.write(line)
                if line.startswith(b"data:") and self.server.breaks_streams:
                    self.wfile.write(b"\n")
                    self.wfile.flush()
                    break
        self.close_connection = True

    do_GET = do_POST = do_DELETE = _pass_on  # noqa: N815  the names that the library looks for

    def log_message(self, *_):
        pass


@pytest.fixture
def proxy(server_url):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Forwarding)
    server.daemon_threads = True
    server.upstream = server_url.removeprefix("http://")
    server.seen, server.num_to_lose, server.breaks_streams = [], 0, False
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
