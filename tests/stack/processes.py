"""A real `tunery up` process, seen from the outside, for the tests of the stack and of the command line."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90
READY = "Tunery is ready: "


class Up:
    """`tunery up` of one home, from the outside. ``settings`` are further variables of its environment."""

    def __init__(self, home: Path, *, port: int = 0, **settings: str) -> None:
        self.home, self.settings = home, settings
        home.mkdir(parents=True, exist_ok=True)
        self.log_path = home.parent / f"{home.name}-{time.monotonic_ns()}.log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TUNERY_")}
        environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TUNERY_STOP_SECONDS": "5"} | settings
        command = [sys.executable, "-P", "-m", "app.cli", "up", "--home", str(home), "--port", str(port)]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                env=environment,
                cwd=home,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def wait_ready(self) -> str:
        deadline = time.monotonic() + START_SECONDS
        assert self.process.stdout is not None
        while time.monotonic() < deadline:
            if select.select([self.process.stdout], [], [], 1)[0]:
                line = self.process.stdout.readline()
                assert line.startswith(READY), f"{line!r}\n{self.log()}"
                return line.removeprefix(READY).strip()
        raise AssertionError(f"not ready after {START_SECONDS} s\n{self.log()}")

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def children(self) -> dict[int, str]:
        """Process id and command line of everything that belongs to the home, but for the supervisor."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                arguments = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            pid = int(folder.name)
            if str(self.home) in arguments and pid not in {self.process.pid, os.getpid()}:
                found[pid] = arguments
        return found

    def pid_of(self, word: str) -> int | None:
        return next((pid for pid, arguments in self.children().items() if word in arguments), None)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=40)

    def clean_up(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        for pid in self.children():
            os.kill(pid, signal.SIGKILL)


def eventually(condition: Callable[[], object], *, seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
