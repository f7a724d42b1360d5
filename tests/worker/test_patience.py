"""Which trainers are given up, and which are only slow."""

import pytest

from app.spec.messages import AliveMessage, PhaseMessage, ProgressMessage
from worker import patience
from worker.patience import Patience

STEP = ProgressMessage(step=1, max_steps=9, epoch=0.1)


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    return clock


def alive(clock, watched, *, seconds, idle):
    """Nothing but signs of life for so long."""
    for _ in range(int(seconds / 5)):
        clock.now += 5
        idle += 5
        watched.hear(AliveMessage(idle_seconds=idle))


def test_one_that_says_nothing_at_all_is_given_up_in_any_phase(clock):
    for phase in ("preparing", "training"):
        watched = Patience(stall_seconds=60, max_runtime_seconds=None, ran_before_seconds=0)
        watched.hear(PhaseMessage(phase=phase))
        clock.now += 59
        assert watched.verdict() is None
        clock.now += 2
        assert (watched.verdict().code, watched.verdict().for_good) == ("trainer_stalled", False)


@pytest.mark.parametrize(
    ("phase", "given_up"), [("preparing", False), ("tokenizing", False), ("training", True), ("evaluating", True)]
)
def test_one_that_lives_but_does_not_get_on_is_given_up_where_it_should(clock, phase, given_up):
    watched = Patience(stall_seconds=60, max_runtime_seconds=None, ran_before_seconds=0)
    watched.hear(PhaseMessage(phase=phase))
    alive(clock, watched, seconds=100, idle=0)
    assert (watched.verdict() is not None) == given_up


def test_one_that_gets_on_slowly_is_waited_for(clock):
    watched = Patience(stall_seconds=60, max_runtime_seconds=None, ran_before_seconds=0)
    watched.hear(PhaseMessage(phase="training"))
    for _ in range(5):
        alive(clock, watched, seconds=55, idle=0)
        assert watched.verdict() is None
        watched.hear(STEP)
    watched.hear(PhaseMessage(phase="evaluating"))
    for _ in range(5):
        alive(clock, watched, seconds=55, idle=0)
        assert watched.verdict() is None
        watched.hear(AliveMessage(idle_seconds=1))


def test_the_time_of_earlier_attempts_counts(clock):
    watched = Patience(stall_seconds=60, max_runtime_seconds=100, ran_before_seconds=70)
    clock.now += 29
    watched.hear(STEP)
    assert watched.verdict() is None
    clock.now += 2
    assert (watched.verdict().code, watched.verdict().for_good) == ("max_runtime_exceeded", True)
