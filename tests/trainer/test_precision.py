"""A run that may not be repeatable says so."""

import warnings

import pytest
import torch

from app.spec.run import WarningMessage
from tests.trainer.conftest import Recorder
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
