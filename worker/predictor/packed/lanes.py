"""Threads that compute a micro-batch each, every one of them alone with its matrix products.

Two threads with a batch each get through more than two threads that share every product, since nobody waits for the other
behind each of a hundred products. Only a batch that is the only one is computed by several threads together, which takes half
the time of one, and only by a model that was seen to give the same bits then (how a product is cut up decides the order of its sums).
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import torch

Batch = TypeVar("Batch")
Found = TypeVar("Found")

MOST_TOGETHER = 4
"""Threads for one micro-batch; the products of one short text have no work for more."""

_lock = threading.Lock()
_pool: tuple[int, ThreadPoolExecutor] | None = None


def compute(
    function: Callable[[Batch], Found], batches: Sequence[Batch], *, shares_products: bool = False
) -> list[Found]:
    """``function`` of every batch, in their order. The caller is one of the lanes, so that for one batch nobody need be woken.

    With ``shares_products`` several threads compute a single batch. Raises what ``function`` raises.
    """
    count = torch.get_num_threads()
    if shares_products and len(batches) == 1:
        with together(count):
            return [function(batches[0])]
    found: dict[int, Found] = {}
    numbers = iter(range(len(batches)))  # whoever is done takes the next

    def work() -> None:
        try:
            for number in numbers:
                found[number] = function(batches[number])
        finally:
            for _ in numbers:  # after an error nobody begins another
                pass

    others = [_others(count - 1).submit(work) for _ in range(min(count, len(batches)) - 1)]
    try:
        with _alone(count):
            work()
    finally:
        begun = [other for other in others if not other.cancel()]  # a lane may be with another caller all the while
        wait(begun)
    for other in begun:
        other.result()
    return [found[number] for number in range(len(batches))]


@contextmanager
def together(count: int) -> Iterator[None]:
    """This thread has others help with its products, as for the only batch of a process of ``count`` threads."""
    before = torch.get_num_threads()
    torch.set_flush_denormal(True)
    torch.set_num_threads(min(count, MOST_TOGETHER))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _alone(count: int) -> Iterator[None]:
    """This thread makes its products by itself, and then again with ``count`` threads."""
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


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
