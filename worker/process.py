"""A trainer as an operating-system process: its own group, a bare environment, a descriptor to hear it and one to tell it.

It is born warm from the nursery, or started cold where there is none: the same process but for the seconds of its imports.
The control descriptor is also the death pipe: when this worker dies, however it dies, the trainer reads its end of file
and exits.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal, Protocol

import structlog
from pydantic import SecretStr

from app.spec.run import TRAINER_LOG
from worker import isolation
from worker.forking import FOR_FORKING
from worker.hub_access import handed_over
from worker.nursery.keeper import NURSERY, NurseryUnavailableError

log = structlog.get_logger(__name__)

PASSED_ON: Final = frozenset(
    {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "XDG_CACHE_HOME", "USER",
     "HF_HOME", "HF_TOKEN_PATH", "HF_ENDPOINT", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_HUB_OFFLINE", "HF_HUB_ETAG_TIMEOUT",
     "HF_HUB_DOWNLOAD_TIMEOUT", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",
     "OMP_NUM_THREADS", "TUNERY_FAILPOINT"}
)  # fmt: skip
PASSED_ON_PREFIXES: Final = ("LC_", "CUDA_", "NVIDIA_", "NCCL_", "GLOO_")
"""All else, the service's own settings and their secrets above all, stays out of the trainer's environment."""

FOR_TORCH: Final = {
    # Two torch processes that spin for milliseconds on the same cores slow each other tenfold; threads that never spin cost a
    # trainer a third of its speed. A short spin costs one that is alone nothing that could be told from noise.
    "GOMP_SPINCOUNT": "20000",
    # Kernels are compiled for each shape, and hold up to a megabyte each; oneDNN and torch would keep a thousand of them each. Of the
    # products of packed batches some 300 come again and again: with 128 kept, compiling took 12 ms of a step of 400.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "384",
    "LRU_CACHE_CAPACITY": "16",
}

LONGEST_MESSAGE_BYTES: Final = 16 * 2**20


def trainer_environment(own: Mapping[str, str]) -> dict[str, str]:
    environment = {
        name: value for name, value in own.items() if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)
    }
    for name, value in FOR_TORCH.items():
        environment.setdefault(name, value)
    environment |= FOR_FORKING
    environment |= isolation.environment()
    environment["HF_HUB_DISABLE_TELEMETRY"] = "1"
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


Order = Literal["finish", "drain", "cancel"]
"""What a trainer can be told (``app.spec.run``)."""


class Child(Protocol):
    """What a supervisor needs of a child process. Exit codes are negative for a signal."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self) -> int: ...


class TrainerProcess:
    """Started at construction. Not thread-safe: one supervisor owns it."""

    def __init__(self, run_dir: Path, *, hub_token: SecretStr | None = None) -> None:
        with handed_over(hub_token) as token:
            try:
                self._start(run_dir, NURSERY.bear, hub_token=token)
            except NurseryUnavailableError as reason:
                log.info("the trainer starts cold", reason=str(reason))
                self._start(run_dir, start_cold, hub_token=token)

    def _start(self, run_dir: Path, start: Callable[..., Child], *, hub_token: int | None) -> None:
        """With pipes of its own: a trainer that was born after all, and too late, must not hold those of the next."""
        events_read, events_write = os.pipe()
        control_read, control_write = os.pipe()
        try:
            with (run_dir / TRAINER_LOG).open("ab") as file:
                self._process = start(
                    run_dir, events=events_write, control=control_read, log=file.fileno(), hub_token=hub_token
                )
        except BaseException:
            os.close(events_read)
            os.close(control_write)
            raise
        finally:
            os.close(events_write)
            os.close(control_read)
        os.set_blocking(events_read, False)
        self.events_fd = events_read
        self._control_fd = control_write
        self._buffer = bytearray()

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self._process.poll()

    def read_lines(self) -> list[bytes]:
        """The complete lines that have come in; never blocks."""
        while True:
            try:
                chunk = os.read(self.events_fd, 65536)
            except BlockingIOError:
                break
            if not chunk:
                break
            self._buffer += chunk
            if len(self._buffer) > LONGEST_MESSAGE_BYTES:
                raise ValueError("the trainer's message has no end")
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = bytearray(rest)
        return [bytes(line) for line in lines]

    def tell(self, order: Order) -> None:
        self._say(order)

    def confirm(self, *, recorded_step: int) -> None:
        """Let it remove what the checkpoint of that step has replaced."""
        self._say(f"recorded {recorded_step}")

    def _say(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._control_fd, f"{line}\n".encode())

    def kill(self) -> None:
        """SIGKILL to the whole group, and wait until the trainer is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        with contextlib.suppress(ChildProcessError):
            while True:  # what the trainer itself had started, and this process inherited
                os.waitpid(-self.pid, 0)

    def close(self) -> None:
        """Leave nothing of the group alive and no descriptor open."""
        self.kill()
        os.close(self.events_fd)
        os.close(self._control_fd)


def start_cold(run_dir: Path, *, events: int, control: int, log: int, hub_token: int | None = None) -> Child:
    """``python -m worker.trainer``: seconds of imports come first."""
    options = ["--events-fd", str(events), "--control-fd", str(control)]
    passed_on = [events, control]
    if hub_token is not None:
        options += ["--hub-token-fd", str(hub_token)]
        passed_on.append(hub_token)
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "worker.trainer", str(run_dir), *options],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=trainer_environment(os.environ),
        pass_fds=passed_on,
        start_new_session=True,
    )
