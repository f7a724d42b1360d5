"""The stack that ``tunery demo`` works with: one that answers already, or one of its own."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from app.cli.client import Client
from app.cli.errors import CliError
from app.config import Settings
from app.stack import address
from app.stack.commands import part_environment, tethered
from app.stack.errors import StartError
from app.stack.home import running_url

START_SECONDS: Final = 180.0
"""Importing torch from a cold disk takes a while."""
READY: Final = "Tunery is ready: "


@dataclass(frozen=True)
class DemoStack:
    url: str
    process: subprocess.Popen[str] | None
    """``tunery up``, if it is ours."""

    def wait(self) -> None:
        """Until it ends by itself or Ctrl-C raises KeyboardInterrupt. Raises CliError if it ended by itself."""
        if self.process is not None and self.process.wait() != 0:
            raise CliError(f"The service has stopped (exit code {self.process.returncode}).", code="stack_died")


def find_running(settings: Settings, *, any_home: bool) -> str | None:
    """Address of a stack to use: this home's, or with ``any_home`` whichever answers where the CLI looks."""
    client = Client(os.environ.get("TUNERY_URL") or address.url_of(settings.host, settings.port or 8000))
    if any_home and client.answers():
        return client.url
    return running_url(settings)


@contextlib.contextmanager
def own_stack(settings: Settings, *, port_is_free_to_choose: bool) -> Iterator[DemoStack]:
    """``tunery up`` as a child, ready; stopped in order on leaving. Its logs go to ``<home>/logs/up.log``.

    Raises CliError with the end of the log when it does not start.
    """
    log_path = settings.home_dir / "logs" / "up.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    port = _free_port(settings) if port_is_free_to_choose else settings.port
    command = [sys.executable, "-m", "app.cli", "up", "--home", str(settings.home_dir)]
    command += ["--host", settings.host, "--port", str(port)]
    with log_path.open("w") as log:
        process = subprocess.Popen(  # noqa: S603  our own command line
            tethered(command, death_signal=signal.SIGTERM),
            env=part_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
    try:
        assert process.stdout is not None
        yield DemoStack(url=_wait_until_ready(process, process.stdout, log_path), process=process)
    finally:
        _stop(process)


def _free_port(settings: Settings) -> int:
    """The settings' port, or 0 (any) if somebody else has it."""
    try:
        address.listen(settings.host, settings.port, patient=False).close()
    except StartError:
        return 0
    return settings.port


def _wait_until_ready(process: subprocess.Popen[str], output: IO[str], log_path: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        readable, _, _ = select.select([output], [], [], 1.0)
        if readable:
            line = output.readline()
            if line.startswith(READY):
                return line.removeprefix(READY).strip()
            if not line:
                process.wait()
                break
    why = "did not start" if process.poll() is not None else f"was not ready after {START_SECONDS:.0f} s"
    tail = log_path.read_text(errors="replace").split("\n")[-12:]
    raise CliError(
        f"The service {why}.",
        where=tuple(line for line in tail if line),
        hint=f"The whole log is {log_path}",
        code="stack_not_started",
    )


def _stop(process: subprocess.Popen[str]) -> None:
    """Pass Ctrl-C on; a second one kills."""
    process.terminate()
    while process.poll() is None:
        try:
            process.wait()
        except KeyboardInterrupt:
            process.terminate()
