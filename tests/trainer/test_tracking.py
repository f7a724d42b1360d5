"""Trackers are told of a job, and can do it no harm."""

import threading
import time

import pytest
from accelerate import tracking as accelerate_trackers

from app.spec.messages import WarningMessage
from app.spec.training import TrainingSpec
from worker.trainer import tracking


def test_tensorboard_gets_the_points_of_the_job(lab):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    attempt = lab.run(report_to=["tensorboard"], logging_steps=1)
    (folder,) = (attempt.folder / "tracking").iterdir()
    events = accumulator.EventAccumulator(str(folder)).Reload()
    for name in ("train/loss", "eval/accuracy"):
        found = {event.step: event.value for event in events.Scalars(name)}
        assert found == pytest.approx(attempt.points(name), rel=1e-5)


class Broken:
    requires_logging_directory = False

    def __init__(self, run_name):
        self.calls = 0

    def store_init_configuration(self, values):
        pass

    def log(self, values, step):
        raise ConnectionError("no route to the tracker")


class Hanging(Broken):
    def log(self, values, step):
        threading.Event().wait(60)


def test_a_tracker_that_fails_or_is_not_there_costs_a_warning(lab, monkeypatch):
    monkeypatch.setitem(accelerate_trackers.LOGGER_TYPE_TO_CLASS, "wandb", Broken)
    monkeypatch.setitem(accelerate_trackers.LOGGER_TYPE_TO_CLASS, "mlflow", Missing)
    plain, told = lab.run(), lab.run(report_to=["wandb", "mlflow"])
    assert told.weights == plain.weights
    warnings = [m.message for m in told.all_of(WarningMessage) if m.code == "tracker_failed"]
    assert len(warnings) == 2
    assert "no route to the tracker" in "".join(warnings)


def test_a_tracker_that_hangs_delays_only_the_end(lab, monkeypatch):
    monkeypatch.setitem(accelerate_trackers.LOGGER_TYPE_TO_CLASS, "wandb", Hanging)
    monkeypatch.setattr(tracking, "CLOSING_SECONDS", 0.5)
    started_at = time.monotonic()
    attempt = lab.run(report_to=["wandb"])
    assert time.monotonic() - started_at < 60
    assert [m.code for m in attempt.all_of(WarningMessage)].count("tracker_failed") == 1


class Missing(Broken):
    def __init__(self, run_name):
        raise ModuleNotFoundError("No module named 'mlflow'")


def test_names_may_be_given_as_training_arguments_take_them():
    assert TrainingSpec(report_to="none").report_to == []
    assert TrainingSpec(report_to="tensorboard").report_to == ["tensorboard"]
