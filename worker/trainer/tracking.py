"""Experiment trackers, by Accelerate's classes for them: an extra for people who have one, of which no job depends.

They are spoken to by a thread of its own. One that fails, hangs or is not installed costs a warning, never the job.
"""

import queue
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from accelerate.tracking import LOGGER_TYPE_TO_CLASS

from worker.trainer.reporting import Reporter

CLOSING_SECONDS: Final = 10.0
"""How long the end of a job waits for trackers to write what they have."""


class Trackers:
    """The job's trackers. All methods return at once, but ``close``."""

    def __init__(
        self, names: Sequence[str], *, run_name: str, folder: Path, config: dict[str, Any], report: Reporter
    ) -> None:
        self._names, self._run_name, self._folder = names, run_name, folder
        self._config = {name: v if isinstance(v, bool | int | float | str) else str(v) for name, v in config.items()}
        self._report = report
        self._points: queue.SimpleQueue[tuple[int, dict[str, float]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="tracking", daemon=True)
        if names:
            self._thread.start()

    def log(self, step: int, values: dict[str, float]) -> None:
        if self._names:
            self._points.put((step, values))

    def close(self) -> None:
        """Wait for what was logged to be written, for ``CLOSING_SECONDS`` at most."""
        if self._names:
            self._points.put(None)
            self._thread.join(CLOSING_SECONDS)
            if self._thread.is_alive():
                self._report.warn("tracker_failed", "a tracker does not end; it may lack the last points")

    def _write(self) -> None:
        trackers = {name: tracker for name in self._names if (tracker := self._open(name)) is not None}
        while (point := self._points.get()) is not None:
            step, values = point
            for name, tracker in list(trackers.items()):
                if not self._try(name, partial(tracker.log, values, step=step)):
                    del trackers[name]
        for name, tracker in trackers.items():
            self._try(name, tracker.finish)

    def _open(self, name: str) -> Any:
        opened = []

        def open_tracker() -> None:
            tracker_class: Any = LOGGER_TYPE_TO_CLASS[name]
            places = {"logging_dir": str(self._folder)} if tracker_class.requires_logging_directory else {}
            tracker = tracker_class(self._run_name, **places)
            if hasattr(tracker, "start"):
                tracker.start()
            tracker.store_init_configuration(self._config)
            opened.append(tracker)

        return opened[0] if self._try(name, open_tracker) else None

    def _try(self, name: str, action: Any) -> bool:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - any class may come out of a tracker
            self._report.warn(
                "tracker_failed", f"{name} is not told of this job any more: {type(error).__name__}: {error}"
            )
            return False
        return True
