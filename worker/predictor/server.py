"""The predictor's socket: a ZeroMQ ROUTER that takes questions and gives answers in whatever order they are ready.

The main thread only moves messages; it never computes, so that a ping is answered while a model loads or runs.
"""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec
import structlog
import zmq

from app.prediction.curve import CurveKeys
from app.prediction.wire import (
    MAX_MESSAGE_BYTES,
    Answer,
    Cancel,
    Failure,
    Measure,
    Measured,
    Ping,
    Pong,
    Predict,
    decode_question,
)
from worker.allocator import give_back_free_memory
from worker.predictor.admission import admitting
from worker.predictor.computing import load_models, take_turns
from worker.predictor.fetching import Fetcher
from worker.predictor.metrics import metrics_text
from worker.predictor.outbox import Outbox
from worker.predictor.pending import ModelKey, Pending
from worker.predictor.replies import failure
from worker.predictor.scheduler import OverloadedError, Scheduler

log = structlog.get_logger(__name__)

STOP_SECONDS: Final = 30.0
"""How long the batch in flight is waited for at the end."""
LINGER_MS: Final = 500
TIDY_SECONDS: Final = 10.0
MESSAGES_PER_TURN: Final = 256
MOST_KEYS: Final = 10_000
RETRY_MS: Final = 50
"""How soon a reader that took no more is tried again."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the predictor runs; the defaults stand in ``app.config.Settings``."""

    bind: str
    """ZeroMQ address: ``ipc://…`` or ``tcp://address:port``."""
    keys: CurveKeys | None
    """For an address; a local socket needs none."""
    artefacts_dir: Path
    """Models are served from below this folder only."""
    memory_bytes: int
    batch_tokens: int
    cache_bytes: int
    """Memory that the texts being generated may take."""
    queue_size: int
    idle_seconds: float


class Server:
    """One process's predictor. ``run`` must be called from the main thread, where signals arrive."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._scheduler = Scheduler(
            max_texts=options.queue_size, memory_bytes=options.memory_bytes, idle_seconds=options.idle_seconds
        )
        self._outbox = Outbox()
        self._waker, self._wakes = socket.socketpair()
        self._waker.setblocking(False)
        self._wakes.setblocking(False)
        self._fetcher = Fetcher(submit=self._schedule, reply=self._reply, max_texts=options.queue_size)
        self._keys: dict[tuple[str, str], ModelKey] = {}
        self._exit_code: int | None = None

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT, then finish the turn in flight. Returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        context = zmq.Context()
        router = context.socket(zmq.ROUTER)
        router.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        router.setsockopt(zmq.LINGER, LINGER_MS)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)  # else what a reader cannot take is dropped in silence
        with admitting(router, self._options.keys):
            self._run(router)
        router.close()
        context.term()
        log.info("predictor stopped", exit_code=self._exit_code)
        return self._exit_code or 0

    def _run(self, router: zmq.Socket[bytes]) -> None:
        _bind(router, self._options.bind, is_encrypted=self._options.keys is not None)
        log.info("predictor listens", address=self._options.bind)
        self._start_thread("tidying", self._tidy)
        self._start_thread("loading", lambda: load_models(self._scheduler, reply=self._reply))
        computing = self._start_thread(
            "computing",
            lambda: take_turns(
                self._scheduler,
                max_tokens=self._options.batch_tokens,
                max_cache_bytes=self._options.cache_bytes,
                reply=self._reply,
            ),
        )
        self._serve(router)
        self._refuse_waiting()
        computing.join(STOP_SECONDS)
        self._refuse_waiting()
        self._send_answers(router)

    def _tidy(self) -> None:
        """Batches of differing size leave the allocator with a tenth of the process's memory that nothing is in."""
        while True:
            time.sleep(TIDY_SECONDS)
            give_back_free_memory()

    def _refuse_waiting(self) -> None:
        for pending in self._scheduler.stop():
            self._reply(pending, failure(pending, "shutting_down", "the predictor is shutting down"))

    def _serve(self, router: zmq.Socket[bytes]) -> None:
        poller = zmq.Poller()
        poller.register(router, zmq.POLLIN)
        poller.register(self._wakes, zmq.POLLIN)
        has_left = False
        while self._exit_code is None:
            ready = dict(poller.poll(RETRY_MS if has_left else None))
            if self._wakes.fileno() in ready:
                with contextlib.suppress(BlockingIOError):
                    self._wakes.recv(4096)
            if router in ready:
                self._receive(router)
            has_left = self._send_answers(router)

    def _receive(self, router: zmq.Socket[bytes]) -> None:
        """Take what lies there, up to a bound, so that answers are not kept waiting by a flood of questions."""
        for _ in range(MESSAGES_PER_TURN):
            if not router.get(zmq.EVENTS) & zmq.POLLIN:  # type: ignore[arg-type,operator]
                return
            frames = router.recv_multipart(zmq.NOBLOCK)
            answer = self._take(frames)
            if answer is not None:
                self._scheduler.counts.answered(answer)
                self._outbox.put(frames[0], answer)

    def _take(self, frames: list[bytes]) -> Answer | None:
        if len(frames) != 2:
            log.warning("message dropped", reason=f"{len(frames)} frames")
            return None
        try:
            question = decode_question(frames[1])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            log.warning("message dropped", reason=str(error))
            return None
        if isinstance(question, Ping):
            return Pong(
                request_id=question.request_id,
                pid=os.getpid(),
                models=self._scheduler.model_names(),
                num_loads=self._scheduler.num_loads,
                num_base_loads=self._scheduler.num_base_loads,
                num_waiting=self._scheduler.num_waiting,
                num_generating=self._scheduler.num_generating,
                precisions=self._scheduler.precisions(),
                device=self._scheduler.device,
            )
        if isinstance(question, Measure):
            return Measured(request_id=question.request_id, text=metrics_text(self._scheduler))
        if isinstance(question, Cancel):
            self._scheduler.cancel(frames[0], request_id=question.request_id)
            return None
        return self._submit(frames[0], question)

    def _submit(self, identity: bytes, request: Predict) -> Answer | None:
        key = self._key(request.folder, request.manifest_sha256)
        if key is None:
            message = "the model lies outside the folder of artefacts"
            return Failure(request_id=request.request_id, code="model_load_failed", message=message)
        pending = Pending(identity=identity, request=request, key=key, received_at=time.monotonic())
        try:
            if not self._scheduler.is_loaded(key) and self._fetcher.take(pending):
                return None
        except OverloadedError:
            return failure(pending, "overloaded", "many texts are waiting for their models already")
        self._schedule(pending)
        return None

    def _schedule(self, pending: Pending) -> None:
        """For any thread."""
        try:
            late = self._scheduler.submit(pending)
        except OverloadedError:
            waiting = self._scheduler.num_waiting
            self._reply(pending, failure(pending, "overloaded", f"{waiting} texts are waiting already"))
            return
        for other in late:
            self._reply(other, failure(other, "deadline_exceeded", "nobody waits for it any more"))

    def _key(self, name: str, manifest_sha256: str) -> ModelKey | None:
        """That of a folder below that of the artefacts; None: it is not. Found out once: it takes as long as a small forward."""
        asked = name, manifest_sha256
        if asked not in self._keys:
            folder = self._options.artefacts_dir / name
            if not folder.resolve().is_relative_to(self._options.artefacts_dir.resolve()):
                return None
            if len(self._keys) >= MOST_KEYS:
                self._keys.clear()
            self._keys[asked] = ModelKey(folder=folder, manifest_sha256=manifest_sha256)
        return self._keys[asked]

    def _reply(self, pending: Pending, answer: Answer) -> None:
        """Hand an answer to the main thread, which alone may use the socket. For any thread."""
        self._scheduler.counts.answered(answer)
        self._outbox.put(pending.identity, answer)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # then it is awake
            self._waker.send(b"\0")

    def _send_answers(self, router: zmq.Socket[bytes]) -> bool:
        """Whether some reader did not take all of it. What was asked over a connection that is gone is forgotten."""
        has_left, gone = self._outbox.send(router)
        for identity in gone:
            self._scheduler.cancel(identity)
        return has_left

    def _start_thread(self, name: str, target: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                target()
            except BaseException:  # the thread's outermost frame: half a predictor would only seem to live
                log.exception("predictor broke", thread=name)
                self._end(exit_code=1)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._end(exit_code=0)

    def _end(self, *, exit_code: int) -> None:
        if self._exit_code is None:
            self._exit_code = exit_code
        self._wake()


def _bind(router: zmq.Socket[bytes], address: str, *, is_encrypted: bool) -> None:
    """Bind; a local socket is for this user alone, and a stale one of a killed predictor is replaced.

    Raises ValueError for one that would be served without encryption, or is no address.
    """
    if address.startswith("ipc://"):
        Path(address.removeprefix("ipc://")).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        previous = os.umask(0o077)
        try:
            router.bind(address)
        finally:
            os.umask(previous)
    elif address.startswith("tcp://") and is_encrypted:
        router.bind(address)
    else:
        raise ValueError(f"{address}: the predictor listens on ipc:// or, encrypted, on tcp:// only")
