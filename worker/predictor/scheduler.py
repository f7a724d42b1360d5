"""Which model is loaded next and whose turn it is: the state that the predictor's threads share.

There is no waiting window: whatever came while the last batch ran is the next batch of its model, whoever asked. A model's turn lasts
until nothing waits for it, or a request for another has waited longer. A model that writes texts takes a turn for every token, and
between two of its turns come all who have waited longer than it: it waits since the end of its last turn. So a long text delays
others by a token's time, and a flood of others does not keep it from going on.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.spec.serving import Precision
from worker.predictor.footprint import Footprint, stored_footprint, total_bytes
from worker.predictor.metrics import PredictorCounts
from worker.predictor.pending import ModelKey, Pending
from worker.predictor.waiting import WaitingRequests

if TYPE_CHECKING:
    from worker.predictor.engine import LoadedModel

MAX_PROMPTS_TAKEN: Final = 64
"""Texts that a model which has none to write is given at once."""
RESIDENCE_SECONDS: Final = 2.0
"""A model with waiting requests is not unloaded sooner, so that two models that do not fit together both get on."""


class OverloadedError(Exception):
    """The queue is full."""


@dataclass(eq=False, kw_only=True)
class _Resident:
    model: "LoadedModel"
    name: str
    loaded_at: float
    used_at: float


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What to do next: something with one model, for what waits for it or what it was busy with."""

    key: ModelKey
    model: "LoadedModel"
    begun_at: float


@dataclass(eq=False, kw_only=True)
class _Generating:
    """What a model is busy with between two of its turns."""

    requests: list[Pending]
    num_wanted: int
    """Texts that it may be given in its next turn."""
    since: float


class Scheduler:
    """All methods may be called from any thread; ``next_…`` block, and return None once stopped."""

    def __init__(self, *, max_texts: int, memory_bytes: int, idle_seconds: float) -> None:
        self.num_loads = 0
        self.num_base_loads = 0
        self.device: str | None = None
        """The kind of device that models are loaded on; None until torch has been asked."""
        self.counts = PredictorCounts()
        self._max_texts = max_texts
        self._memory_bytes = memory_bytes
        self._idle_seconds = idle_seconds
        self._waiting = WaitingRequests()
        self._residents: OrderedDict[ModelKey, _Resident] = OrderedDict()  # least recently used first
        self._footprints: dict[ModelKey, Footprint] = {}
        self._generating: dict[ModelKey, _Generating] = {}
        self._leaving: set[ModelKey] = set()
        """Models that end what they are writing and begin nothing, because another needs their room."""
        self._stopped = False
        self._lock = threading.Lock()
        self._may_compute = threading.Condition(self._lock)
        self._may_load = threading.Condition(self._lock)

    @property
    def num_waiting(self) -> int:
        """Texts in the queue."""
        return self._waiting.num_texts

    @property
    def num_generating(self) -> int:
        """Texts of requests that are being generated."""
        with self._lock:
            return sum(pending.num_texts for busy in self._generating.values() for pending in busy.requests)

    @property
    def used_bytes(self) -> int:
        """What the loaded models take."""
        with self._lock:
            return self._used_bytes()

    def model_names(self) -> list[str]:
        """Names of the loaded models, least recently used first."""
        with self._lock:
            return [resident.name for resident in self._residents.values()]

    def precisions(self) -> dict[str, Precision]:
        """What the loaded models are computed in, by their names."""
        with self._lock:
            return {resident.name: resident.model.precision for resident in self._residents.values()}

    def is_loaded(self, key: ModelKey) -> bool:
        return key in self._residents

    def submit(self, pending: Pending) -> list[Pending]:
        """Queue ``pending``. Returns late requests that were taken out to make room for it.

        Raises OverloadedError when more than ``max_texts`` would wait that are not late.
        """
        with self._lock:
            late: list[Pending] = []
            if self._waiting.num_texts + pending.num_texts > self._max_texts:
                late = self._waiting.late()
                num_left = self._waiting.num_texts - sum(other.num_texts for other in late)
                if num_left + pending.num_texts > self._max_texts:
                    raise OverloadedError
                self._waiting.remove(late.__contains__)
            self._waiting.add(pending)
            self._tell_who_serves(pending.key)
            return late

    def cancel(self, identity: bytes, *, request_id: int | None = None) -> None:
        """Forget a request, or all of a connection: one that waits at once, one whose text is generated at its next turn."""

        def is_meant(other: Pending) -> bool:
            return other.identity == identity and request_id in {None, other.request.request_id}

        with self._lock:
            for other in self._waiting.remove(is_meant):
                other.is_cancelled = True
            for busy in self._generating.values():
                for other in filter(is_meant, busy.requests):
                    other.is_cancelled = True

    def next_turn(self) -> Turn | None:
        """Wait for the turn of the loaded model that has waited longest."""
        with self._lock:
            while not self._stopped:
                if (key := self._longest_waiting()) is not None:
                    return Turn(key=key, model=self._residents[key].model, begun_at=time.monotonic())
                self._may_compute.wait()
            return None

    def may_go_on(self, turn: Turn, *, is_due: bool) -> bool:
        """Whether its model may take more: nothing for another has waited longer, or it ``is_due`` what came before the turn began."""
        with self._lock:
            if self._stopped or turn.key not in self._residents:
                return False
            since = self._waits_since(turn.key)
            return (is_due and since is not None and since <= turn.begun_at) or self._longest_waiting() in {
                turn.key,
                None,
            }

    def has_waiting(self, key: ModelKey) -> bool:
        """Whether requests for a model wait."""
        return key in self._waiting

    def wait_for(self, until: Callable[[], bool]) -> None:
        """Wait for what may come with requests of loaded models; ``wake`` has it looked at in between."""
        with self._lock:
            self._may_compute.wait_for(until)

    def wake(self) -> None:
        with self._lock:
            self._may_compute.notify_all()

    def take(self, key: ModelKey, *, at_most: int) -> list[Pending]:
        """The oldest requests for a model that has the turn: as many whole ones as have so many texts together, one at least, if one waits."""
        with self._lock:
            self._is_used(key)
            return self._waiting.take(key, at_most=at_most) if key in self._waiting else []

    def take_prompts(self, key: ModelKey) -> list[Pending]:
        """The same for a model that writes texts, as many as it wants; what it goes on with, ``turn_ended`` is told."""
        with self._lock:
            self._is_used(key)
            now = time.monotonic()
            busy = self._generating.setdefault(key, _Generating(requests=[], num_wanted=MAX_PROMPTS_TAKEN, since=now))
            may_begin = key in self._waiting and key not in self._leaving and busy.num_wanted > 0
            taken = self._waiting.take(key, at_most=busy.num_wanted) if may_begin else []
            busy.requests.extend(taken)
            return taken

    def turn_ended(self, key: ModelKey, *, generating: Sequence[Pending], num_wanted: int) -> None:
        """A model that generates had its turn: it goes on with the requests ``generating``, and wants some texts more."""
        with self._lock:
            self._residents[key].used_at = now = time.monotonic()
            if generating:
                self._generating[key] = _Generating(requests=[*generating], num_wanted=num_wanted, since=now)
            else:
                del self._generating[key]
            if self._leaving:
                self._may_load.notify_all()

    def _longest_waiting(self) -> ModelKey | None:
        """Of the loaded models that have something to do."""
        ready = {key: since for key in self._residents if (since := self._waits_since(key)) is not None}
        return min(ready, key=ready.__getitem__, default=None)

    def _tell_who_serves(self, key: ModelKey) -> None:
        """That requests for a model wait."""
        (self._may_compute if key in self._residents else self._may_load).notify_all()

    def _is_used(self, key: ModelKey) -> None:
        if (resident := self._residents.get(key)) is not None:
            self._residents.move_to_end(key)
            resident.used_at = time.monotonic()

    def _waits_since(self, key: ModelKey) -> float | None:
        """The instant from which a model waits for its turn; None: it has nothing to do."""
        if busy := self._generating.get(key):
            return busy.since
        if key not in self._waiting or key in self._leaving:
            return None
        return self._waiting.since(key)

    def put_back(self, requests: Sequence[Pending]) -> None:
        """Return requests of one model, which were not taken whole, to the head of its queue."""
        with self._lock:
            if requests:
                self._waiting.put_back(requests[0].key, requests)
                self._tell_who_serves(requests[0].key)

    def next_load(self) -> ModelKey | None:
        """Wait for a model that is asked for and not loaded, having unloaded others to make room for it."""
        with self._lock:
            while not self._stopped:
                self._unload_idle()
                missing = [key for key in self._waiting if key not in self._residents]
                asked_to_leave, self._leaving = self._leaving, set()
                if missing:
                    longest_asked = min(missing, key=self._waiting.asked_at)
                    if self._make_room(longest_asked):
                        return longest_asked
                if asked_to_leave - self._leaving:
                    self._may_compute.notify_all()  # those may begin texts again
                self._may_load.wait(RESIDENCE_SECONDS / 4 if missing else self._idle_seconds)
            return None

    def loaded(self, key: ModelKey, *, model: "LoadedModel", name: str) -> list[str]:
        """Make ``model`` available, and unload the least recently used until all fit. Returns the names of those."""
        with self._lock:
            now = time.monotonic()
            self._residents[key] = _Resident(model=model, name=name, loaded_at=now, used_at=now)
            self._footprints[key] = model.footprint
            self.num_loads += 1
            unloaded = []
            while len(self._residents) > 1 and self._used_bytes() > self._memory_bytes:
                oldest = next((o for o in self._residents if o != key and o not in self._generating), None)
                if oldest is None:
                    break
                unloaded.append(self._residents.pop(oldest).name)
                self.counts.unloads["memory"] += 1
            self._may_compute.notify_all()
            return unloaded

    def load_failed(self, key: ModelKey) -> list[Pending]:
        """Take out everybody who waits for a model that cannot be loaded."""
        with self._lock:
            return self._waiting.remove(lambda other: other.key == key)

    def stop(self) -> list[Pending]:
        """Wake all threads. Returns the requests that will not be worked on; once more for those put back meanwhile."""
        with self._lock:
            self._stopped = True
            self._may_compute.notify_all()
            self._may_load.notify_all()
            return self._waiting.remove(lambda _: True)

    def _used_bytes(self) -> int:
        return total_bytes(self._footprints[key] for key in self._residents)

    def _make_room(self, key: ModelKey) -> bool:
        """Unload others until ``key`` fits. False: only models could go that are asked for and were just loaded, or are busy."""
        needed = self._footprints.get(key) or stored_footprint(key.folder)
        now = time.monotonic()
        staying = list(self._residents)
        for other, resident in list(self._residents.items()):
            if self._fits(needed, beside=staying):
                break
            is_asked_for = other in self._waiting or other in self._generating
            if is_asked_for and now - resident.loaded_at <= RESIDENCE_SECONDS:
                continue
            staying.remove(other)
            if other in self._generating:
                self._leaving.add(other)
            else:
                del self._residents[other]
                self.counts.unloads["memory"] += 1
        return not self._residents or self._fits(needed, beside=self._residents)

    def _fits(self, needed: Footprint, *, beside: Iterable[ModelKey]) -> bool:
        """Whether it has room beside models that are loaded, whose bases it may share."""
        return total_bytes([needed, *(self._footprints[key] for key in beside)]) <= self._memory_bytes

    def _unload_idle(self) -> None:
        now = time.monotonic()
        for key, resident in list(self._residents.items()):
            if key not in self._waiting and key not in self._generating and now - resident.used_at > self._idle_seconds:
                del self._residents[key]
                self.counts.unloads["idle"] += 1
