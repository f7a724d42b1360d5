"""Who computes which micro-batch, when it is over, and what becomes of errors."""

import threading
import time

import pytest
import torch

from worker.predictor.packed import lanes

LONG = 30.0


class Numbers:
    """Batches from 0 on; ``more`` adds some, as long as it is said that they may come."""

    def __init__(self, count, *, may_come=False):
        self._left = [*range(count)]
        self._may_come = may_come
        self._changed = threading.Condition()
        self.free = []

    def more(self, *numbers):
        with self._changed:
            self._left += numbers
            self._changed.notify_all()

    def take(self, num_free):
        self.free.append(num_free)
        return self._left.pop(0) if self._left else None

    def are_left(self):
        return bool(self._left)

    def wait(self, until):
        with self._changed:
            return self._may_come and self._changed.wait_for(until, LONG)

    def wake(self):
        with self._changed:
            self._changed.notify_all()


def computed(batches, function=lambda number: None, **options):
    """Which thread computed each batch."""
    lane_of = {}

    def work(number):
        lane_of[number] = threading.get_ident()
        function(number)

    lanes.compute(work, batches, **options)
    return lane_of


@pytest.mark.usefixtures("two_lanes")
def test_whoever_is_done_takes_the_next():
    """One long batch keeps one lane; all others are the other's."""
    others_done = threading.Event()

    def work(number):
        if number == 0:
            assert others_done.wait(LONG)
        elif number == 6:
            others_done.set()

    lane_of = computed(Numbers(7), work)
    assert {lane_of[number] for number in range(1, 7)} == {lane_of[1]} != {lane_of[0]}


@pytest.mark.usefixtures("two_lanes")
def test_what_comes_meanwhile_is_computed_by_the_lane_that_waits():
    batches = Numbers(2, may_come=True)
    both, is_done = threading.Barrier(2, timeout=LONG), threading.Event()

    def work(number):
        if number < 2:
            both.wait()
        if number == 0:
            batches.more(2, 3)
            assert is_done.wait(LONG), "while this one is computed"
        if number == 3:
            is_done.set()

    lane_of = computed(batches, work)
    assert sorted(lane_of) == [0, 1, 2, 3]
    assert lane_of[1] == lane_of[2] == lane_of[3] != lane_of[0]


@pytest.mark.usefixtures("two_lanes")
def test_it_is_over_when_nobody_computes_and_nothing_is_left_though_more_may_come():
    assert sorted(computed(Numbers(5, may_come=True), lambda _: time.sleep(0.01))) == [0, 1, 2, 3, 4]
    assert computed(Numbers(0, may_come=True)) == {}


@pytest.mark.usefixtures("two_lanes")
def test_a_lane_is_told_how_many_are_free():
    batches = Numbers(2)
    both = threading.Barrier(2, timeout=LONG)
    computed(batches, lambda _: both.wait())
    assert batches.free[:2] == [2, 1]


@pytest.mark.parametrize(("shares", "count", "threads"), [(True, 1, [2]), (False, 1, [1]), (True, 2, [1, 1])])
@pytest.mark.usefixtures("two_lanes")
def test_only_the_only_batch_is_computed_by_several_threads(shares, count, threads):
    found = []
    both = threading.Barrier(count, timeout=LONG)
    computed(Numbers(count), lambda _: (both.wait(), found.append(torch.get_num_threads())), shares_products=shares)
    assert found == threads
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_lanes")
def test_nobody_computes_beside_threads_that_compute_one_together():
    batches = Numbers(1, may_come=True)
    others = []

    def work(number):
        if number == 0:
            batches.more(1)
            time.sleep(0.1)
            others.append(torch.get_num_threads())

    lane_of = computed(batches, work, shares_products=True)
    assert (sorted(lane_of), len({*lane_of.values()}), others) == ([0, 1], 1, [2])


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
        lanes.compute(work, Numbers(100, may_come=True))
    assert under_way == []
    assert len(begun) < 100, "what was not begun is left"
    assert sorted(computed(Numbers(4))) == [0, 1, 2, 3], "the lanes go on"


@pytest.mark.usefixtures("two_lanes")
def test_a_lane_that_is_with_another_caller_is_not_waited_for():
    is_let_go, is_taken = threading.Event(), threading.Event()

    def hold(number):
        if threading.current_thread() is not first:
            is_taken.set()
            assert is_let_go.wait(LONG)
        elif number == 0:
            assert is_taken.wait(LONG), "the lane has the other batch"

    first = threading.Thread(target=lambda: lanes.compute(hold, Numbers(2)))
    first.start()
    assert is_taken.wait(LONG)
    try:
        assert sorted(computed(Numbers(5))) == [0, 1, 2, 3, 4]
    finally:
        is_let_go.set()
        first.join()
