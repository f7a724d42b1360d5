"""Connections to PostgreSQL over a network, where a machine may be gone without a word."""

import contextlib
import os
import socket
import sys
import threading

import pytest
from sqlalchemy import text

from app.db.engine import SILENCE_SECONDS, create_database_engine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads options of sockets by Linux' names")


@contextlib.contextmanager
def over_tcp(unix_socket: str):
    """The port of this machine on which PostgreSQL's own socket can be reached."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def forward(source, target):
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    server = socket.socket(socket.AF_UNIX)
                    server.connect(unix_socket)
                    for ends in ((client, server), (server, client)):
                        threading.Thread(target=forward, args=ends, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_a_server_that_is_gone_is_waited_for_seconds_and_not_hours(postgres_server):
    with over_tcp(f"{postgres_server.socket_dir}/.s.PGSQL.5432") as port:
        engine = create_database_engine(f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres")
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
            descriptor = os.dup(connection.connection.driver_connection.fileno())
            with socket.socket(fileno=descriptor) as own:
                assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                idle, pause, count, unconfirmed = (
                    own.getsockopt(socket.IPPROTO_TCP, option)
                    for option in (
                        socket.TCP_KEEPIDLE,
                        socket.TCP_KEEPINTVL,
                        socket.TCP_KEEPCNT,
                        socket.TCP_USER_TIMEOUT,
                    )
                )
        engine.dispose()
    assert idle + pause * count == SILENCE_SECONDS
    assert unconfirmed == SILENCE_SECONDS * 1000
