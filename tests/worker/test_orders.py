"""What a trainer does when it is told to, and what it leaves; those here are born of one nursery."""

import os
import signal

import pytest

from app.manifest import sha256_of
from app.spec.run import ExitCode
from tests.worker.conftest import LONG


def weights(trainer):
    return sha256_of(trainer.run_dir / "model/model.safetensors")


def test_a_drained_and_then_a_killed_run_end_as_an_undisturbed_one(lab, nursery, start):
    """Three attempts: drained by the control pipe, killed after a later checkpoint, and the one that ends it."""
    options = {"num_train_epochs": 10, "save_strategy": "steps", "save_steps": 5, "save_total_limit": 2}
    undisturbed = start(lab.write(**options))
    assert undisturbed.finish() == ExitCode.SUCCESS, undisturbed.log()

    drained = start(lab.write(**options))
    drained.wait_for("progress")
    drained.tell("drain")
    assert drained.finish() == ExitCode.DRAINED
    saved = [message for message in drained.seen if message["type"] == "checkpoint"]
    assert saved, "it ended before it could be drained"

    killed = start(lab.write(checkpoints=[saved[-1]["path"]], **options))
    checkpoint = killed.wait_for("checkpoint")
    killed.kill()
    assert killed.finish() == -signal.SIGKILL
    assert checkpoint["step"] < 70

    last = start(lab.write(checkpoints=[checkpoint["path"], saved[-1]["path"]], **options))
    assert last.finish() == ExitCode.SUCCESS, last.log()
    assert weights(last) == weights(undisturbed)


@pytest.mark.parametrize("when", ["progress", "phase"], ids=["while training", "before training"])
def test_cancel_ends_it_without_a_checkpoint_of_its_own(lab, nursery, start, when):
    trainer = start(lab.write(**LONG))
    trainer.wait_for(when)
    trainer.tell("cancel")
    assert trainer.finish() == ExitCode.CANCELLED
    assert not list(trainer.run_dir.glob("checkpoints/*"))


def test_sigterm_drains(lab, nursery, start):
    trainer = start(lab.write(**LONG | {"save_strategy": "steps", "save_steps": 5, "save_total_limit": 2}))
    trainer.wait_for("progress")
    os.kill(trainer.pid, signal.SIGTERM)
    assert trainer.finish() == ExitCode.DRAINED
    assert trainer.seen[-1]["type"] in {"checkpoint", "progress", "metrics", "phase"}
    assert [message for message in trainer.seen if message["type"] == "checkpoint"]


def test_finish_ends_it_with_a_result(lab, nursery, start):
    trainer = start(lab.write(**LONG))
    trainer.wait_for("progress")
    trainer.tell("finish")
    assert trainer.finish() == ExitCode.SUCCESS
    assert trainer.seen[-1]["type"] == "result"


def test_bad_data_is_told_and_not_worth_another_try(lab, nursery, start):
    lab.files["train"].write_text('{"text": "fine", "label": "good"}\n{"text": null, "label": "bad"}\n')
    trainer = start(lab.write())
    assert trainer.finish() == ExitCode.USER_ERROR
    error = trainer.seen[-1]
    assert (error["type"], error["code"], error["param"]) == ("error", "null_text", "columns.text")
    assert "row 2 " in error["message"].lower()
