"""Messages reach the reader whole, in order, and not too many."""

import os
import threading
import time

import orjson
import pytest

from app.spec.messages import MESSAGE, LogMessage, MetricsMessage, PhaseMessage, ProgressMessage
from worker.trainer.reporting import Reporter


@pytest.fixture
def pipe():
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader:
        yield reader, write


def progress(step, max_steps=1000):
    return ProgressMessage(step=step, max_steps=max_steps, epoch=0.0)


def finish(report, pipe):
    reader, write = pipe
    closer = threading.Thread(target=lambda: (report.close(), os.close(write)))
    closer.start()
    messages = [MESSAGE.validate_python(orjson.loads(line)) for line in reader]
    closer.join()
    return messages


def test_order_is_kept_and_points_are_joined(pipe):
    report = Reporter(pipe[1])
    for step in range(3):
        report.points(step, 0.0, {"train/loss": 1.0, "train/grad_norm": 2.0})
    report.phase("saving")
    report.points(3, 0.0, {"train/loss": 1.0})
    messages = finish(report, pipe)
    assert [type(message) for message in messages] == [MetricsMessage, PhaseMessage, MetricsMessage]
    assert [point.step for point in messages[0].points] == [0, 0, 1, 1, 2, 2]


def test_many_points_come_in_messages_of_200(pipe):
    report = Reporter(pipe[1])
    for step in range(450):
        report.points(step, 0.0, {"train/loss": 1.0})
    sizes = [len(message.points) for message in finish(report, pipe)]
    assert sum(sizes) == 450
    assert max(sizes) == 200


def test_points_do_not_wait_longer_than_a_second(pipe):
    report = Reporter(pipe[1])
    report.points(1, 0.0, {"train/loss": 1.0})
    started_at = time.monotonic()
    assert b"train/loss" in pipe[0].readline()
    assert time.monotonic() - started_at < 1.5
    finish(report, pipe)


def test_progress_is_thinned_but_the_last_of_the_run_is_sent(pipe):
    report = Reporter(pipe[1])
    for step in range(1, 1001):
        report.progress(progress(step))
    steps = [message.step for message in finish(report, pipe)]
    assert steps[-1] == 1000
    assert len(steps) < 10


def test_a_slow_reader_does_not_hold_up_the_sender(pipe):
    report = Reporter(pipe[1])
    started_at = time.monotonic()
    for _ in range(100):
        report.send(LogMessage(message="x" * 10_000))
    assert time.monotonic() - started_at < 1
    assert len(finish(report, pipe)) == 100
