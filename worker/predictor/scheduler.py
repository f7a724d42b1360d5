"""Which model is loaded next and which requests make the next batch: the state that the predictor's threads share.

There is no waiting window: whatever came while the last batch ran is the next batch of its model, whoever asked.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.prediction.wire import Predict
from worker.predictor.footprint import Footprint, stored_footprint, total_bytes

if TYPE_CHECKING:
    from worker.predictor.encoded import EncodedText
    from worker.predictor.engine import LoadedModel

MAX_TEXTS_TAKEN: Final = 512
"""Texts tokenised at a time; many more would only wait, and be tokenised in vain if their caller leaves."""
RESIDENCE_SECONDS: Final = 2.0
"""A model with waiting requests is not unloaded sooner, so that two models that do not fit together both get on."""


class OverloadedError(Exception):
    """The queue is full."""


@dataclass(frozen=True, kw_only=True)
class ModelKey:
    """One published model: its folder, and the hash that its manifest must have."""

    folder: Path
    manifest_sha256: str


@dataclass(eq=False, kw_only=True)
class Pending:
    """A request that waits. Instants are monotonic seconds."""

    identity: bytes
    """Of the connection that asked."""
    request: Predict
    key: ModelKey
    received_at: float
    encoded: "list[EncodedText] | None" = None
    tokenization_seconds: float = 0.0

    @property
    def num_texts(self) -> int:
        return len(self.request.inputs)

    def is_late(self) -> bool:
        return time.monotonic() > self.received_at + self.request.timeout_ms / 1000


@dataclass(eq=False, kw_only=True)
class _Resident:
    model: "LoadedModel"
    name: str
    loaded_at: float
    used_at: float


class Scheduler:
    """All methods may be called from any thread; ``next_…`` block, and return None once stopped."""

    def __init__(self, *, max_texts: int, memory_bytes: int, idle_seconds: float) -> None:
        self.num_loads = 0
        self.num_base_loads = 0
        self._max_texts = max_texts
        self._memory_bytes = memory_bytes
        self._idle_seconds = idle_seconds
        self._waiting: dict[ModelKey, deque[Pending]] = {}
        self._num_waiting = 0
        self._residents: OrderedDict[ModelKey, _Resident] = OrderedDict()  # least recently used first
        self._footprints: dict[ModelKey, Footprint] = {}
        self._stopped = False
        self._changed = threading.Condition()

    @property
    def num_waiting(self) -> int:
        """Texts in the queue."""
        return self._num_waiting

    def model_names(self) -> list[str]:
        """Names of the loaded models, least recently used first."""
        with self._changed:
            return [resident.name for resident in self._residents.values()]

    def submit(self, pending: Pending) -> list[Pending]:
        """Queue ``pending``. Returns late requests that were taken out to make room for it.

        Raises OverloadedError when more than ``max_texts`` would wait that are not late.
        """
        with self._changed:
            late: list[Pending] = []
            if self._num_waiting + pending.num_texts > self._max_texts:
                late = [other for queue in self._waiting.values() for other in queue if other.is_late()]
                if self._num_waiting + pending.num_texts - sum(other.num_texts for other in late) > self._max_texts:
                    raise OverloadedError
                self._remove(late.__contains__)
            self._waiting.setdefault(pending.key, deque()).append(pending)
            self._num_waiting += pending.num_texts
            self._changed.notify_all()
            return late

    def cancel(self, identity: bytes, *, request_id: int) -> None:
        """Forget a waiting request; nothing happens if it has been taken already."""
        with self._changed:
            self._remove(lambda other: other.identity == identity and other.request.request_id == request_id)

    def next_requests(self) -> "tuple[LoadedModel, list[Pending]] | None":
        """Wait for and take requests of one loaded model: those of the one whose first has waited longest."""
        with self._changed:
            while True:
                if self._stopped:
                    return None
                ready = [key for key in self._waiting if key in self._residents]
                if ready:
                    break
                self._changed.wait()
            key = min(ready, key=lambda candidate: self._waiting[candidate][0].received_at)
            self._residents.move_to_end(key)
            self._residents[key].used_at = time.monotonic()
            return self._residents[key].model, self._take(key)

    def put_back(self, requests: Sequence[Pending]) -> None:
        """Return requests of one model, which did not fit into the batch, to the head of its queue."""
        with self._changed:
            if requests:
                self._waiting.setdefault(requests[0].key, deque()).extendleft(reversed(requests))
                self._num_waiting += sum(pending.num_texts for pending in requests)
                self._changed.notify_all()

    def next_load(self) -> ModelKey | None:
        """Wait for a model that is asked for and not loaded, having unloaded others to make room for it."""
        with self._changed:
            while not self._stopped:
                self._unload_idle()
                missing = [key for key in self._waiting if key not in self._residents]
                if missing:
                    longest_asked = min(missing, key=lambda key: self._waiting[key][0].received_at)
                    if self._make_room(longest_asked):
                        return longest_asked
                self._changed.wait(RESIDENCE_SECONDS / 4 if missing else self._idle_seconds)
            return None

    def loaded(self, key: ModelKey, *, model: "LoadedModel", name: str) -> list[str]:
        """Make ``model`` available, and unload the least recently used until all fit. Returns the names of those."""
        with self._changed:
            now = time.monotonic()
            self._residents[key] = _Resident(model=model, name=name, loaded_at=now, used_at=now)
            self._footprints[key] = model.footprint
            self.num_loads += 1
            unloaded = []
            while len(self._residents) > 1 and self._used_bytes() > self._memory_bytes:
                oldest = next(other for other in self._residents if other != key)
                unloaded.append(self._residents.pop(oldest).name)
            self._changed.notify_all()
            return unloaded

    def load_failed(self, key: ModelKey) -> list[Pending]:
        """Take out everybody who waits for a model that cannot be loaded."""
        with self._changed:
            return self._remove(lambda other: other.key == key)

    def stop(self) -> list[Pending]:
        """Wake all threads for the last time. Returns the requests that will not be worked on."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            return self._remove(lambda _: True)

    def _take(self, key: ModelKey) -> list[Pending]:
        queue = self._waiting[key]
        taken = [queue.popleft()]
        num_texts = taken[0].num_texts
        while queue and num_texts + queue[0].num_texts <= MAX_TEXTS_TAKEN:
            taken.append(queue.popleft())
            num_texts += taken[-1].num_texts
        self._num_waiting -= num_texts
        if not queue:
            del self._waiting[key]
        return taken

    def _remove(self, leaves: Callable[[Pending], bool]) -> list[Pending]:
        removed = []
        for key, queue in list(self._waiting.items()):
            leaving = [pending for pending in queue if leaves(pending)]
            if leaving:
                self._waiting[key] = deque(pending for pending in queue if pending not in leaving)
                removed.extend(leaving)
            if not self._waiting[key]:
                del self._waiting[key]
        self._num_waiting -= sum(pending.num_texts for pending in removed)
        return removed

    def _used_bytes(self) -> int:
        return total_bytes(self._footprints[key] for key in self._residents)

    def _make_room(self, key: ModelKey) -> bool:
        """Unload others until ``key`` fits. False: only models that are asked for and were just loaded could go."""
        needed = self._footprints.get(key) or stored_footprint(key.folder)
        now = time.monotonic()
        for other, resident in list(self._residents.items()):
            if self._fits(needed):
                break
            if other not in self._waiting or now - resident.loaded_at > RESIDENCE_SECONDS:
                del self._residents[other]
        return not self._residents or self._fits(needed)

    def _fits(self, needed: Footprint) -> bool:
        """Whether it has room beside what is loaded, whose bases it may share."""
        return total_bytes([needed, *(self._footprints[key] for key in self._residents)]) <= self._memory_bytes

    def _unload_idle(self) -> None:
        now = time.monotonic()
        for key, resident in list(self._residents.items()):
            if key not in self._waiting and now - resident.used_at > self._idle_seconds:
                del self._residents[key]
