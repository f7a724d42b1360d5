"""Threads that compute a micro-batch each, every one of them alone with its matrix products.

Two threads with a batch each get through more than two threads that share every product, since nobody waits for the other
behind each of a hundred products; and how a product is cut up among threads, which decides the order of its sums, is always the same.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Batch = TypeVar("Batch")
Found = TypeVar("Found")

_lock = threading.Lock()
_pool: tuple[int, ThreadPoolExecutor] | None = None


def compute(function: Callable[[Batch], Found], batches: Sequence[Batch]) -> list[Found]:
    """``function`` of every batch, in their order. For any thread but the lanes' own. Raises what it raises."""
    futures = [_lanes().submit(function, batch) for batch in batches]
    return [future.result() for future in futures]


def _lanes() -> ThreadPoolExecutor:
    """As many as torch had threads when they were first asked for. A forked process has none of its parent's."""
    global _pool  # noqa: PLW0603 - threads are the process's
    with _lock:
        if _pool is None or _pool[0] != os.getpid():
            count = torch.get_num_threads()
            all_there = threading.Barrier(count + 1)
            pool = ThreadPoolExecutor(count, thread_name_prefix="lane", initializer=_settle, initargs=(all_there,))
            for _ in range(count):
                pool.submit(int)
            all_there.wait()
            torch.set_num_threads(count)  # the last lane's word was taken for that of the process
            _pool = (os.getpid(), pool)
        return _pool[1]


def _settle(all_there: threading.Barrier) -> None:
    torch.get_num_threads()  # takes the process's number over, which it would do later otherwise
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    all_there.wait()
