"""The queues of the predictor's models. Not for several threads: the scheduler's lock is around it."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from worker.predictor.pending import ModelKey, Pending

_MOST_BEGUN: Final = 4
"""Requests at the head of a queue that may be begun, and be waiting for a shorter time than the next."""


class WaitingRequests:
    """Those of each model in the order in which they came."""

    def __init__(self) -> None:
        self.num_texts = 0
        self._queues: dict[ModelKey, deque[Pending]] = {}

    def __contains__(self, key: ModelKey) -> bool:
        """Whether requests for a model wait."""
        return key in self._queues

    def __iter__(self) -> Iterator[ModelKey]:
        """Models that requests wait for."""
        return iter(self._queues)

    def asked_at(self, key: ModelKey) -> float:
        """When the first of a model's requests came."""
        return self._queues[key][0].received_at

    def since(self, key: ModelKey) -> float:
        """The instant from which the one of a model's requests waits that has waited longest."""
        return min(pending.waits_since for pending in islice(self._queues[key], _MOST_BEGUN))

    def late(self) -> list[Pending]:
        return [pending for queue in self._queues.values() for pending in queue if pending.is_late()]

    def add(self, pending: Pending) -> None:
        self._queues.setdefault(pending.key, deque()).append(pending)
        self.num_texts += pending.num_texts

    def put_back(self, key: ModelKey, requests: Sequence[Pending]) -> None:
        """Return requests that were taken to the head of the queue."""
        self._queues.setdefault(key, deque()).extendleft(reversed(requests))
        self.num_texts += sum([pending.num_texts for pending in requests])

    def take(self, key: ModelKey, *, at_most: int) -> list[Pending]:
        """As many whole requests as have so many texts together, one at least."""
        queue = self._queues[key]
        taken = [queue.popleft()]
        num_texts = taken[0].num_texts
        while queue and num_texts + queue[0].num_texts <= at_most:
            taken.append(queue.popleft())
            num_texts += taken[-1].num_texts
        self.num_texts -= num_texts
        if not queue:
            del self._queues[key]
        return taken

    def remove(self, leaves: Callable[[Pending], bool]) -> list[Pending]:
        """Take out all that ``leaves`` says."""
        removed = []
        for key, queue in list(self._queues.items()):
            leaving = [pending for pending in queue if leaves(pending)]
            if leaving:
                self._queues[key] = deque(pending for pending in queue if pending not in leaving)
                removed.extend(leaving)
            if not self._queues[key]:
                del self._queues[key]
        self.num_texts -= sum([pending.num_texts for pending in removed])
        return removed
