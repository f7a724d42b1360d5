"""An attempt's checkpoints and log on their way into the store, beside its supervision, which never waits for them.

A checkpoint is told to the database once it is in the store, so that any machine can go on from what a row names. The trainer
keeps what it has written until the row of its successor stands, so nothing is removed before it was sent.
"""

import contextvars
import threading
import time
from collections import deque
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from app import storage
from app.config import get_settings
from app.manifest import CorruptArtefactError
from app.spec.messages import CheckpointMessage
from app.spec.run import TRAINER_LOG
from app.storage import StoreUnavailable
from worker import isolation

log = structlog.get_logger(__name__)

LOG_SECONDS: Final = 5.0
"""How far the log in the store may be behind."""
PAUSE_SECONDS: Final = 2.0
"""Before a store that does not answer is asked again."""


class Uploads:
    """Those of one attempt, or of a node's share of one, which has a log alone. Without a store everything is where it belongs at once."""

    def __init__(self, run_dir: Path) -> None:
        self._job_id = run_dir.relative_to(get_settings().jobs_dir).parts[0]
        self._log_path = run_dir / TRAINER_LOG
        self._log_sent: tuple[int, int] | None = None
        self._log_due_at = 0.0
        self._waiting: deque[CheckpointMessage | Path] = deque()
        """Checkpoints to be sent and folders to be removed, in their order."""
        self._sent: deque[CheckpointMessage] = deque()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        if storage.remote_store() is not None:
            context = contextvars.copy_context()  # with the hold of the attempt
            self._thread = threading.Thread(target=context.run, args=[self._work], name="uploads", daemon=True)
            self._thread.start()

    def take(self, checkpoint: CheckpointMessage) -> None:
        (self._sent if self._thread is None else self._waiting).append(checkpoint)

    def sent(self) -> list[CheckpointMessage]:
        """Those that came into the store since the last call."""
        return [self._sent.popleft() for _ in range(len(self._sent))]

    def remove(self, folders: Iterable[Path]) -> None:
        """Delete replaced checkpoints in the store. Their rows say so already."""
        if self._thread is not None:
            self._waiting.extend(folders)

    def is_idle(self) -> bool:
        """Whether all that was taken is in the store."""
        return not any(isinstance(each, CheckpointMessage) for each in list(self._waiting))

    def end(self) -> None:
        """What is still waiting stays behind; the log is sent once more. Waits for the file that is on its way."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while not self._ended.wait(0.1):
            try:
                if self._waiting:
                    self._send(self._waiting[0])
                    self._waiting.popleft()
                elif time.monotonic() > self._log_due_at:
                    self._send_log()
            except StoreUnavailable:
                log.warning("the store is away; checkpoints wait for it", num_waiting=len(self._waiting))
                self._ended.wait(PAUSE_SECONDS)
        try:
            self._send_log()
        except StoreUnavailable:
            log.warning("the store is away; it lacks the end of the log")

    def _send(self, what: CheckpointMessage | Path) -> None:
        if isinstance(what, Path):
            storage.remove_stored(what)
            return
        try:
            storage.publish(Path(what.path), guarded=partial(isolation.guarded, job_id=self._job_id))
        except (CorruptArtefactError, FileNotFoundError):
            log.exception("a checkpoint is gone before it was sent", path=what.path)
        else:
            self._sent.append(what)

    def _send_log(self) -> None:
        self._log_due_at = time.monotonic() + LOG_SECONDS
        try:
            found = self._log_path.stat()
        except FileNotFoundError:
            return
        state = (found.st_size, found.st_mtime_ns)
        if state != self._log_sent:
            storage.put_file(self._log_path)
            self._log_sent = state
