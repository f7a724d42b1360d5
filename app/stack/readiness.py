"""Watches for the moment the service is ready, beside the supervisor's own loop, which must never wait for an answer."""

import contextlib
import http.client
import os
import threading
import time
from typing import Final

import structlog

from app.config import Settings
from app.stack import address

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 0.1
ANSWER_SECONDS: Final = 5.0
REMINDER_SECONDS: Final = 30.0


class ReadinessWatch(threading.Thread):
    """Asks ``/health/ready`` until it answers 200; then sets ``is_ready`` and writes a byte to ``wake_up``, and ends.

    Says every half minute what is still missing.
    """

    def __init__(self, settings: Settings, *, wake_up: int) -> None:
        super().__init__(name="readiness", daemon=True)
        self.is_ready = threading.Event()
        self._settings = settings
        self._wake_up = wake_up
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End soon; ``wake_up`` may be closed once this thread is joined."""
        self._stopped.set()

    def run(self) -> None:
        started_at = time.monotonic()
        remind_at = started_at + REMINDER_SECONDS
        while not self._stopped.is_set():
            missing = self._ask()
            if missing is None:
                self.is_ready.set()
                with contextlib.suppress(OSError):
                    os.write(self._wake_up, b"\0")
                return
            if time.monotonic() > remind_at:
                remind_at += REMINDER_SECONDS
                log.warning("not ready yet", answer=missing, seconds=round(time.monotonic() - started_at))
            self._stopped.wait(POLL_SECONDS)

    def _ask(self) -> str | None:
        """None if ready, else what was answered."""
        host = address.reachable_host(self._settings.host)
        connection = http.client.HTTPConnection(host, self._settings.port, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", "/health/ready")
            answer = connection.getresponse()
            text = answer.read(1000).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return f"none: {error}"
        finally:
            connection.close()
        return None if answer.status == http.HTTPStatus.OK else text
