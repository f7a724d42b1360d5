"""A run that is stopped and resumed ends with the bytes of one that was not."""

import pytest

from app.manifest import MANIFEST, read_manifest
from app.spec.messages import (
    CheckpointMessage,
    CorruptMessage,
    PhaseMessage,
    ProgressMessage,
    StartedMessage,
)
from app.spec.run import ExitCode

STEPS_PER_EPOCH = 7
"""50 examples in batches of 8."""


def stop_at(step):
    def stop(message, control):
        if isinstance(message, ProgressMessage) and message.step == step:
            control.requested = ExitCode.DRAINED

    return stop


def stop_while_evaluating(message, control):
    if isinstance(message, PhaseMessage) and message.phase == "evaluating":
        control.requested = ExitCode.DRAINED


STOPS = {
    "after the first step": lambda _: stop_at(1),
    "in the middle of an epoch": lambda steps: stop_at(steps + (steps + 1) // 2),
    "at the end of an epoch": stop_at,
    "while evaluating": lambda _: stop_while_evaluating,
    "after the last step": lambda steps: stop_at(2 * steps),
}


@pytest.mark.parametrize(
    ("precision", "accumulation"),
    [
        ("float32", 2),
        ("bfloat16", 1),
        ("bfloat16", 4),
        *(pytest.param(*cell, marks=pytest.mark.long) for cell in (("float32", 1), ("float32", 4), ("bfloat16", 2))),
    ],
)
def test_wherever_a_run_is_stopped_the_resumed_one_ends_with_the_same_bytes(lab, accumulation, precision):
    """Row K4 of the fault matrix: with dropout, two epochs, and the last group of an epoch is a short one."""
    options = {"gradient_accumulation_steps": accumulation, "bf16": precision == "bfloat16"}
    undisturbed = lab.run(**options)
    steps_per_epoch = undisturbed.all_of(StartedMessage)[0].max_steps // 2
    assert steps_per_epoch == -(-STEPS_PER_EPOCH // accumulation)
    for name, stop in STOPS.items():
        first = lab.run(on_message=stop(steps_per_epoch), **options)
        assert first.code is ExitCode.DRAINED, name
        second = lab.run(checkpoints=first.checkpoints, **options)
        assert second.all_of(StartedMessage)[0].resumed_from_step > 0, name
        assert second.weights == undisturbed.weights, name
        assert second.result.report == undisturbed.result.report, name
        evaluations = [attempt.points("eval/loss") for attempt in (first, second, undisturbed)]
        assert evaluations[0] | evaluations[1] == evaluations[2], name
        assert not evaluations[0].keys() & evaluations[1].keys(), name


def test_the_resumed_run_reports_the_points_that_the_first_one_did_not(lab):
    undisturbed = lab.run(logging_steps=3)
    first = lab.run_until(4, logging_steps=3)
    second = lab.run(checkpoints=first.checkpoints, logging_steps=3)
    assert first.points("train/loss") | second.points("train/loss") == undisturbed.points("train/loss")
    assert not first.points("train/loss").keys() & second.points("train/loss").keys()


def test_two_runs_give_the_same_bytes_however_often_they_evaluate(lab):
    once = lab.run(metric_for_best_model="loss", eval_strategy="no")
    often = lab.run(metric_for_best_model="loss", eval_strategy="steps", eval_steps=1, early_stopping_patience=100)
    assert sorted(often.points("eval/loss")) == list(range(1, 15))
    assert once.points("eval/loss")[14] == often.points("eval/loss")[14]
    last = [read_manifest(attempt.folder / "checkpoints/step-00000014").files for attempt in (once, often)]
    assert last[0]["model.safetensors"] == last[1]["model.safetensors"]
    assert last[0]["optimizer.safetensors"] == last[1]["optimizer.safetensors"]


def test_a_damaged_checkpoint_is_named_and_the_older_one_is_used(lab):
    undisturbed = lab.run(save_strategy="steps", save_steps=2)
    first = lab.run_until(5, save_strategy="steps", save_steps=2)
    damaged = lab.home / "attempt-2/checkpoints/step-00000005/optimizer.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-100] ^= 1
    damaged.write_bytes(content)
    second = lab.run(checkpoints=first.checkpoints, save_strategy="steps", save_steps=2)
    assert [message.path for message in second.all_of(CorruptMessage)] == [str(damaged.parent)]
    assert second.all_of(StartedMessage)[0].resumed_from_step == 4
    assert second.weights == undisturbed.weights


def test_with_every_checkpoint_damaged_it_starts_again(lab):
    first = lab.run_until(3)
    for path in first.checkpoints:
        (lab.home / path / MANIFEST).unlink()
    second = lab.run(checkpoints=first.checkpoints)
    assert len(second.all_of(CorruptMessage)) == len(first.checkpoints) == 1
    assert second.all_of(StartedMessage)[0].resumed_from_step == 0


def test_a_checkpoint_of_other_settings_is_not_resumed_from(lab):
    first = lab.run_until(3)
    second = lab.run(checkpoints=first.checkpoints, learning_rate=2e-3)
    assert "other settings" in second.all_of(CorruptMessage)[0].message
    assert second.all_of(StartedMessage)[0].resumed_from_step == 0


def test_the_spec_as_written_back_resumes_what_the_spec_as_given_began(lab):
    from app.spec.messages import ResolvedMessage

    first = lab.run_until(3)
    resolved = first.all_of(ResolvedMessage)[0].spec.model_dump()
    second = lab.run(checkpoints=first.checkpoints, spec=resolved)
    assert second.all_of(StartedMessage)[0].resumed_from_step == 3


def test_the_best_checkpoint_of_an_earlier_attempt_is_the_one_that_is_published(lab):
    """An early step is the best here, since the highest loss is asked for."""
    options = {"lr_scheduler_type": "constant", "metric_for_best_model": "loss", "greater_is_better": True,
               "eval_strategy": "steps", "eval_steps": 1, "warmup_steps": 0, "save_total_limit": 1}  # fmt: skip
    undisturbed = lab.run(max_steps=6, **options)
    best = undisturbed.result.best_step
    first = lab.run_until(best + 1, max_steps=6, **options)
    second = lab.run(checkpoints=first.checkpoints, max_steps=6, **options)
    assert not list((second.folder / "checkpoints").glob(f"step-{best:08d}"))
    assert second.result.best_step == best < 6
    assert second.weights == undisturbed.weights


def test_no_checkpoint_goes_before_the_worker_has_recorded_the_one_that_replaces_it(lab):
    """A worker that was frozen, or has no database, knows of old ones only: its successor goes on from there."""
    recorded = 5

    def frozen_worker(message, control):
        control.recorded_step = recorded

    attempt = lab.run(save_strategy="steps", save_steps=1, save_total_limit=2, on_message=frozen_worker)
    told = {
        path for message in attempt.all_of(CheckpointMessage) if message.step <= recorded for path in message.deleted
    }
    saved = {message.path for message in attempt.all_of(CheckpointMessage)}
    left = {str(path) for path in (attempt.folder / "checkpoints").iterdir()}
    assert told
    assert left == saved - told


def test_rotation_keeps_the_best_and_the_newest(lab):
    attempt = lab.run(save_strategy="steps", save_steps=1, save_total_limit=2, eval_strategy="steps", eval_steps=3)
    saved = {message.path for message in attempt.all_of(CheckpointMessage)}
    deleted = {path for message in attempt.all_of(CheckpointMessage) for path in message.deleted}
    best = f"step-{attempt.result.best_step:08d}"
    left = {path.name for path in (attempt.folder / "checkpoints").iterdir()}
    assert left == {"step-00000013", "step-00000014", best}
    assert {path.rpartition("/")[2] for path in saved - deleted} == left
