"""Who computes which micro-batch, and what becomes of errors."""

import threading
import time

import pytest

from worker.predictor.packed import lanes


@pytest.mark.usefixtures("two_lanes")
def test_what_is_found_is_in_the_order_of_the_batches_whoever_found_it():
    both = threading.Barrier(2, timeout=30)
    names = set()

    def name(number):
        if number < 2:
            both.wait()  # the two first are under way at a time
        names.add(threading.current_thread().name)
        return number * number

    assert lanes.compute(name, range(9)) == [number * number for number in range(9)]
    assert len(names) == 2


@pytest.mark.usefixtures("two_lanes")
def test_whoever_is_done_takes_the_next():
    """One long batch keeps one lane; all others are the other's."""
    others_done = threading.Event()
    lane_of = {}

    def work(number):
        lane_of[number] = threading.get_ident()
        if number == 0:
            assert others_done.wait(30)
        elif number == 6:
            others_done.set()

    lanes.compute(work, range(7))
    assert {lane_of[number] for number in range(1, 7)} == {lane_of[1]} != {lane_of[0]}


@pytest.mark.parametrize("fails_at", [0, 1, 5])
@pytest.mark.usefixtures("two_lanes")
def test_an_error_is_raised_once_nobody_computes_any_more(fails_at):
    under_way, begun = [], []

    def work(number):
        under_way.append(number)
        begun.append(number)
        try:
            if number == fails_at:
                raise RuntimeError(f"batch {number}")
            time.sleep(0.02)  # so that the other lane is not through all of them before
        finally:
            under_way.remove(number)

    with pytest.raises(RuntimeError, match=f"batch {fails_at}"):
        lanes.compute(work, range(100))
    assert under_way == []
    assert len(begun) < 100, "what was not begun is left"
    assert lanes.compute(lambda number: number, range(4)) == [0, 1, 2, 3], "the lanes go on"


@pytest.mark.usefixtures("two_lanes")
def test_a_lane_that_is_with_another_caller_is_not_waited_for():
    is_let_go, is_taken = threading.Event(), threading.Event()

    def hold(number):
        if threading.current_thread() is not first:
            is_taken.set()
            assert is_let_go.wait(30)
        elif number == 0:
            assert is_taken.wait(30), "the lane has the other batch"

    first = threading.Thread(target=lambda: lanes.compute(hold, range(2)))
    first.start()
    assert is_taken.wait(30)
    try:
        assert lanes.compute(lambda number: number, range(5)) == [0, 1, 2, 3, 4]
    finally:
        is_let_go.set()
        first.join()
