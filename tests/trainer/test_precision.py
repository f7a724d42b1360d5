"""A run that may not be repeatable says so."""

import subprocess
import sys
import warnings

import pytest
import torch

from app.spec.messages import WarningMessage
from tests.trainer.conftest import ROOT, Recorder
from worker.trainer.precision import warn_of_other_kernels


@pytest.fixture
def only_deterministic(monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("only_deterministic")
def test_an_operation_without_a_deterministic_kernel_is_told_once_and_runs():
    report = Recorder(lambda _message: None)
    with warnings.catch_warnings():  # pytest collects them otherwise
        warnings.simplefilter("always")
        warn_of_other_kernels(report)
        values = torch.zeros(3)
        for _ in range(2):
            values.put_(torch.tensor([1]), torch.tensor([2.0]))
    report.close()
    told = [message for message in report.messages if isinstance(message, WarningMessage)]
    assert [(message.code, message.message.split()[0]) for message in told] == [("not_deterministic", "put_")]
    assert values.tolist() == [0, 2, 0]


def test_a_trainer_computes_without_tiny_numbers(lab, tmp_path):
    """In a process of its own, and in every thread that computes."""
    folder = lab.write(num_train_epochs=1)
    program = f"""
import sys, torch
from worker.trainer import attempt
from worker.trainer.__main__ import main
publish = attempt.publish
def look(*args, **options):
    torch.set_num_threads(2)
    tiny = torch.full((1_000_000,), 1e-39) * torch.ones(1_000_000)
    open({str(tmp_path / "left")!r}, "w").write(str(int(tiny.count_nonzero())))
    return publish(*args, **options)
attempt.publish = look
sys.exit(main([{str(folder)!r}]))
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    assert (tmp_path / "left").read_text() == "0"
