"""Parts of a service without the supervisor that would start the others, and start them again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from app.stack import address
from tests.faults.conftest import Tried
from tests.road.conftest import assert_all_is_well
from tests.stack.processes import ROOT

START_SECONDS = 60
STOP_SECONDS = 30


class Parts:
    """Processes of one home with one set of settings. What they log is in ``log``."""

    def __init__(self, home: Path, **settings: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self._settings = settings
        self._log_path = home.parent / f"{home.name}-{time.monotonic_ns()}.log"
        self._processes: list[subprocess.Popen[bytes]] = []

    def log(self) -> str:
        return self._log_path.read_text(errors="replace")

    def start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Arguments of Python, or a whole command line that begins with a path."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TUNERY_")}
        environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TUNERY_HOME": str(self.home)} | self._settings
        whole = command if command[0].startswith("/") else [sys.executable, "-P", *command]
        with self._log_path.open("ab") as log:
            process = subprocess.Popen(
                whole, env=environment, cwd=self.home, stdout=log, stderr=log, start_new_session=True
            )
        self._processes.append(process)
        return process

    def migrate(self) -> None:
        assert self.start(["-m", "app.cli", "migrate", "--home", str(self.home)]).wait(timeout=START_SECONDS) == 0

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=STOP_SECONDS)

    def clean_up(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class Api(Tried):
    """The API alone, on a port of its own that it keeps over restarts. ``up`` are the parts that it belongs to."""

    def __init__(self, parts: Parts) -> None:
        with address.listen("127.0.0.1", 0, patient=False) as free:
            self._port = free.getsockname()[1]
        super().__init__(parts, f"http://127.0.0.1:{self._port}")  # type: ignore[arg-type]  all it asks for is the log
        self.parts = parts
        self.process: subprocess.Popen[bytes]
        self.start()

    def start(self, *, behind: Sequence[str] = ()) -> None:
        """Returns when it answers. ``behind``: a program, by its path, that starts it."""
        command = ["-m", "app.cli", "serve", "--home", str(self.parts.home), "--port", str(self._port)]
        self.process = self.parts.start([*behind, sys.executable, "-P", *command] if behind else command)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, self.parts.log()[-4000:]
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return self.http.get("/health/live").is_success
        except httpx2.TransportError:
            return False

    def stop(self) -> None:
        self.parts.stop(self.process)


@contextmanager
def api_alone(home: Path, encoder: Path, **settings: str) -> Iterator[Api]:
    """A migrated database and an API, with the tiny encoder; no worker. All is verified at the end."""
    parts = Parts(home, **settings)
    try:
        parts.migrate()
        service = Api(parts)
        service.register("tiny-bert", encoder)
        yield service
        assert_all_is_well(home, **settings)
    finally:
        parts.clean_up()
