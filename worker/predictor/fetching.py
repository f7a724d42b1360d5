"""Models that are in the store and not on this machine: brought in threads of their own, so that others are loaded meanwhile."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import orjson
import structlog

from app import storage
from app.manifest import MANIFEST, CorruptArtefactError
from app.prediction.wire import FailureCode
from app.spec.serving import SERVING_FILE, base_folder
from app.storage import StoreUnavailable
from worker.predictor.pending import ModelKey, Pending
from worker.predictor.replies import Reply, failure
from worker.predictor.scheduler import OverloadedError

log = structlog.get_logger(__name__)

AT_A_TIME: Final = 2


class Fetcher:
    """Keeps requests for a model that is being brought, and then hands them on. ``take`` is the main thread's."""

    def __init__(self, *, submit: Callable[[Pending], None], reply: Reply, max_texts: int) -> None:
        self._submit, self._reply, self._max_texts = submit, reply, max_texts
        self._waiting: dict[ModelKey, list[Pending]] = {}
        self._changing = threading.Lock()
        self._threads = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="fetching")

    def take(self, pending: Pending) -> bool:
        """Whether the request waits here now. False: its model is on this machine. Raises OverloadedError."""
        if storage.remote_store() is None:
            return False
        with self._changing:
            if (others := self._waiting.get(pending.key)) is None:
                if _is_here(pending.key.folder):
                    return False
                others = self._waiting[pending.key] = []
                self._threads.submit(self._bring, pending.key)
            if sum(each.num_texts for queue in self._waiting.values() for each in queue) > self._max_texts:
                raise OverloadedError
            others.append(pending)
            return True

    def _bring(self, key: ModelKey) -> None:
        code: FailureCode | None = None
        problem = ""
        try:
            fetch_model(key)
        except CorruptArtefactError as error:
            code, problem = "artifact_corrupt", str(error)
        except StoreUnavailable as error:
            code, problem = "storage_unavailable", error.message
        except Exception as error:  # the thread's outermost frame: whoever waits must hear of it
            log.exception("model could not be fetched", folder=str(key.folder))
            code, problem = "model_load_failed", f"{type(error).__name__}: {error}"
        with self._changing:
            waiting = self._waiting.pop(key)
        for pending in waiting:
            if code is None:
                self._submit(pending)
            else:
                self._reply(pending, failure(pending, code, problem))


def fetch_model(key: ModelKey) -> None:
    """The model and what it is attached to are on this machine. Raises CorruptArtefactError and StoreUnavailable."""
    storage.fetch(key.folder, manifest_sha256=key.manifest_sha256)
    if (base := _base_of(key.folder)) is not None:
        storage.fetch(base)


def discard_copies(folder: Path) -> bool:
    """Remove this machine's copies of a model that was found damaged. False: there is nowhere to fetch it from again."""
    base = _base_of(folder)
    discarded = [storage.discard_copy(each) for each in (folder, base) if each is not None]
    return any(discarded)


def _is_here(folder: Path) -> bool:
    if not (folder / MANIFEST).is_file():
        return False
    base = _base_of(folder)
    return base is None or (base / MANIFEST).is_file()


def _base_of(folder: Path) -> Path | None:
    try:
        return base_folder(folder, orjson.loads((folder / SERVING_FILE).read_bytes())["base"]["weights_sha256"])
    except (OSError, ValueError, KeyError, TypeError):  # it has none, or cannot be loaded at all
        return None
