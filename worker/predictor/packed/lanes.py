"""Threads that compute a micro-batch each, every one of them alone with its matrix products.

Two threads with a batch each get through more than two threads that share every product, since nobody waits for the other
behind each of a hundred products. Only a batch that is the only one is computed by several threads together, which takes half
the time of one, and only by a model that was seen to give the same bits then (how a product is cut up decides the order of its sums).
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

import torch

Batch = TypeVar("Batch")
Taken_co = TypeVar("Taken_co", covariant=True)

MOST_TOGETHER = 4
"""Threads for one micro-batch; the products of one short text have no work for more."""

_lock = threading.Lock()
_pool: tuple[int, ThreadPoolExecutor] | None = None


class Batches(Protocol[Taken_co]):
    """What is to be computed. ``take`` is called by one thread at a time, the others by any."""

    def take(self, num_free: int) -> Taken_co | None:
        """The next batch, for one of ``num_free`` lanes that have nothing to do. None: there is none now."""

    def are_left(self) -> bool:
        """Whether there is something to take."""

    def wait(self, until: Callable[[], bool]) -> bool:
        """Wait for ``until``, which may change with what is left. False: there will never be more."""

    def wake(self) -> None:
        """Have those who wait look at their ``until`` again."""


def compute(function: Callable[[Batch], None], batches: Batches[Batch], *, shares_products: bool = False) -> None:
    """``function`` of every batch, whoever is done taking the next, until there is none and nobody computes.

    The caller is one of the lanes; another is called when there is something left for it. With ``shares_products`` several
    threads compute a batch that is the only one. Raises what ``function`` raises; nobody takes another batch then.
    """
    team = _Team(function, batches, count=torch.get_num_threads(), shares_products=shares_products)
    try:
        team.work()
    finally:
        others = team.dismiss()
        wait(others)
    for other in others:
        other.result()


class _Team(Generic[Batch]):
    """The lanes that compute for one caller."""

    def __init__(
        self, function: Callable[[Batch], None], batches: Batches[Batch], *, count: int, shares_products: bool
    ) -> None:
        self._function, self._batches = function, batches
        self._count, self._shares_products = count, shares_products
        self._caller = threading.get_ident()
        self._others: list[Future[None]] = []
        self._num_busy = 0
        """Lanes that compute; all, while several threads do for one batch."""
        self._is_over = False
        self._changing = threading.Lock()

    def work(self) -> None:
        """What every lane does, the caller too."""
        try:
            while (begun := self._next()) is not None:
                batch, num_lanes = begun
                with by_threads(num_lanes):
                    self._function(batch)
                with self._changing:
                    self._num_busy -= num_lanes
                if num_lanes > 1:
                    self._batches.wake()
        finally:
            self._is_over = True
            self._batches.wake()

    def dismiss(self) -> list[Future[None]]:
        """Those that have begun. Others need not be waited for: their lane may be with another caller all the while."""
        return [other for other in self._others if not other.cancel()]

    def _next(self) -> tuple[Batch, int] | None:
        """A batch, and how many lanes are busy with it. None: it is over."""
        while not self._is_over:
            with self._changing:
                num_free = self._count - self._num_busy
                batch = self._batches.take(num_free) if num_free else None
                if batch is not None:
                    num_lanes = self._lanes_for_it()
                    self._num_busy += num_lanes
                    return batch, num_lanes
                if not self._num_busy:
                    break
            if not self._batches.wait(self._is_to_look):
                break
        return None

    def _lanes_for_it(self) -> int:
        """Only the caller has others help: their threads stay, and those of ever more lanes would spin for nothing."""
        if self._batches.are_left():
            if len(self._others) < self._count - 1:
                self._others.append(_others(self._count - 1).submit(self.work))
        elif self._shares_products and not self._num_busy and threading.get_ident() == self._caller:
            return self._count
        return 1

    def _is_to_look(self) -> bool:
        return self._is_over or not self._num_busy or (self._num_busy < self._count and self._batches.are_left())


@contextmanager
def by_threads(count: int) -> Iterator[None]:
    """This thread has as many others help with its products as a process of ``count`` threads would; by itself, if that is 1."""
    before = torch.get_num_threads()
    torch.set_flush_denormal(True)
    torch.set_num_threads(min(count, MOST_TOGETHER))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _others(count: int) -> ThreadPoolExecutor:
    """So many lanes beside the first caller. A forked process has none of its parent's."""
    global _pool  # noqa: PLW0603 - threads are the process's
    with _lock:
        if _pool is None or _pool[0] != os.getpid():
            _pool = (os.getpid(), ThreadPoolExecutor(count, thread_name_prefix="lane", initializer=_settle))
        return _pool[1]


def _settle() -> None:
    torch.get_num_threads()  # takes the process's number over, which it would do later otherwise
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
