"""The thread that a model is loaded in, and those that OpenMP helps it with."""

import threading
import time
from pathlib import Path

import pytest
import torch

from worker.predictor.computing import _in_thread_of_its_own


def num_threads():
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def settled_num_threads():
    """Once it has not changed for a while; threads take a moment to end."""
    found, since = num_threads(), time.monotonic()
    while time.monotonic() - since < 0.3:
        time.sleep(0.02)
        if (now := num_threads()) != found:
            found, since = now, time.monotonic()
    return found


def multiply():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        factor = torch.randn(600, 600)
        product = factor @ factor
        return num_threads(), product
    finally:
        torch.set_num_threads(before)  # other threads take it over


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")
def test_no_thread_of_a_load_outlives_it():
    """Beside its helpers those of the thread that computes would be more than processors, and then none waits awake."""
    _in_thread_of_its_own(multiply)  # torch begins threads of the process when it is told their number
    before = settled_num_threads()
    during, product = _in_thread_of_its_own(multiply)
    assert product.shape == (600, 600)
    assert during > before + 1, "it was helped"
    assert settled_num_threads() == before


def test_what_a_load_raises_is_raised():
    def fail():
        raise RuntimeError(threading.current_thread().name)

    with pytest.raises(RuntimeError, match="load"):
        _in_thread_of_its_own(fail)
