"""``tunery up``: the whole service on one machine. Starts the parts, restarts one that dies, stops them together."""

import contextlib
import importlib.util
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

import structlog

from app.config import Settings
from app.stack import address, broker
from app.stack.commands import (
    api_command,
    part_environment,
    predictor_command,
    predictor_environment,
    torch_environment,
    worker_command,
)
from app.stack.errors import StartError
from app.stack.home import HomeLock, prepare_folders
from app.stack.part import Part
from app.stack.readiness import ReadinessWatch

log = structlog.get_logger(__name__)

BROKER_PATIENCE_SECONDS: Final = 5.0
IDLE_SECONDS: Final = 5.0
STOP_MARGIN_SECONDS: Final = 5.0
"""On top of the time a trainer has: for its checkpoint's row, and for parts with nothing to finish."""
STOPPED_BY_FORCE: Final = 130


def up(settings: Settings, *, on_ready: Callable[[str], None]) -> int:
    """Run the service until SIGINT, SIGTERM or SIGHUP; returns the exit code. Main thread only.

    ``on_ready`` is told the URL when ``/health/ready`` first answers 200. Raises StartError when the home or the port
    is taken, or something needed is not installed.
    """
    if threading.current_thread() is not threading.main_thread():
        msg = "children are tied to the thread that starts them, and signals reach the main thread"
        raise RuntimeError(msg)
    address.check_exposure(settings)
    if importlib.util.find_spec("torch") is None:
        raise StartError(
            "torch is not installed, so nothing could be trained or predicted here",
            hint="install Tunery with its train packages: pip install 'tunery[train]'",
        )
    prepare_folders(settings)
    lock = HomeLock(settings)
    lock.acquire()
    with contextlib.closing(
        address.listen(settings.host, settings.port, patient=settings.port == lock.previous_port)
    ) as listener:
        bound = settings.model_copy(update={"port": listener.getsockname()[1]})
        lock.describe(url=address.url_of(bound.host, bound.port), port=bound.port)
        code = Supervisor(bound, descriptor=listener.fileno()).run(on_ready=on_ready)
    lock.release()
    return code


class Supervisor:
    """The parts in the order they start. ``settings`` name the port that ``descriptor`` listens on.

    The supervisor keeps the listening socket itself, so a restarting API loses no port and refuses no connection.
    """

    def __init__(self, settings: Settings, *, descriptor: int) -> None:
        self.settings = settings
        self.url = address.url_of(settings.host, settings.port)
        self.broker = None if settings.redis_url else _broker_part(settings)
        self.api = Part(
            name="api",
            command=api_command(settings, descriptor=descriptor),
            environment=part_environment(settings),
            death_signal=signal.SIGKILL,
            descriptors=(descriptor,),
        )
        self.worker = Part(
            name="worker",
            command=worker_command(settings),
            environment=torch_environment(settings),
            death_signal=signal.SIGTERM,  # it drains: its trainer writes a checkpoint first
        )
        self.predictor = Part(
            name="predictor",
            command=predictor_command(settings),
            environment=predictor_environment(settings),
            death_signal=signal.SIGKILL,
        )
        self._signals = 0

    @property
    def parts(self) -> list[Part]:
        served = [self.api, self.worker, self.predictor]
        return served if self.broker is None else [self.broker, *served]

    def run(self, *, on_ready: Callable[[str], None]) -> int:
        started_at = time.monotonic()
        announced = False
        with self._listening_to_signals() as (wake_up, waker):
            watch = ReadinessWatch(self.settings, wake_up=waker)
            try:
                self._start(wake_up)
                watch.start()
                while self._signals == 0:
                    pauses = [part.keep_alive() for part in self.parts]
                    if not announced and watch.is_ready.is_set():
                        announced = True
                        log.info("ready", url=self.url, seconds=round(time.monotonic() - started_at, 1))
                        on_ready(self.url)
                    _wait(wake_up, min([IDLE_SECONDS, *(pause for pause in pauses if pause is not None)]))
                return self._stop(wake_up)
            finally:
                watch.stop()
                for part in reversed(self.parts):
                    part.kill()

    def _start(self, wake_up: int) -> None:
        if self.broker is not None:
            self.broker.start()
        from app.stack.schema import migrate_database  # noqa: PLC0415  SQLAlchemy takes half a second meanwhile

        migrate_database(self.settings)
        deadline = time.monotonic() + BROKER_PATIENCE_SECONDS
        while self.broker is not None and self._signals == 0 and not broker.answers(self.settings):
            if time.monotonic() > deadline:
                log.warning("the broker does not answer yet; jobs are found by polling until it does")
                break
            self.broker.keep_alive()
            _wait(wake_up, 0.02)
        for part in (self.api, self.worker, self.predictor):
            if self._signals == 0:
                part.start()

    def _stop(self, wake_up: int) -> int:
        """The worker first, while what it reports to still answers; the broker last. A second signal kills."""
        log.info("stopping; once more kills", worker_has_seconds=self.settings.stop_seconds + STOP_MARGIN_SECONDS)
        groups = [([self.worker], self.settings.stop_seconds + STOP_MARGIN_SECONDS)]
        groups.append(([self.api, self.predictor], STOP_MARGIN_SECONDS))
        if self.broker is not None:
            groups.append(([self.broker], STOP_MARGIN_SECONDS))
        for parts, patience in groups:
            deadline = time.monotonic() + patience
            for part in parts:
                part.terminate()
            while any(part.is_running() for part in parts):
                if self._signals > 1:
                    log.warning("killing all parts")
                    return STOPPED_BY_FORCE
                if time.monotonic() > deadline:
                    log.warning(
                        "a part did not stop in time and is killed", parts=[p.name for p in parts if p.is_running()]
                    )
                    for part in parts:
                        part.kill()
                _wait(wake_up, 0.1)
        log.info("stopped")
        return 0

    @contextlib.contextmanager
    def _listening_to_signals(self) -> Iterator[tuple[int, int]]:
        """Count the signals that ask to stop; yield a pipe that is readable after any signal, a child's end too."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)

        def count(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            self._signals += 1

        old_descriptor = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        handlers = {number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM)}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # which is how nohup asks to outlive the terminal
            handlers[signal.SIGHUP] = signal.signal(signal.SIGHUP, count)
        handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            yield reader, writer
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(old_descriptor)
            os.close(reader)
            os.close(writer)


def _broker_part(settings: Settings) -> Part:
    return Part(
        name="broker",
        command=broker.broker_command(settings),
        environment=dict(os.environ),
        death_signal=signal.SIGTERM,
        before_start=lambda: broker.retire_old(settings),
    )


def _wait(wake_up: int, seconds: float) -> None:
    readable, _, _ = select.select([wake_up], [], [], max(seconds, 0))
    if readable:
        with contextlib.suppress(BlockingIOError):
            os.read(wake_up, 4096)


def print_ready(url: str) -> None:
    """The one line on standard output."""
    sys.stdout.write(f"Tunery is ready: {url}\n")
    sys.stdout.flush()
