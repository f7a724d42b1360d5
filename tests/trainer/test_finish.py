"""A run that is told to finish ends with the best model so far, as if its plan had ended there."""

import pytest

from app.spec.messages import PhaseMessage, ProgressMessage
from app.spec.run import ExitCode
from worker.trainer.control import Control


def finish_at(step: int):
    def ask(message: object, control: Control) -> None:
        if isinstance(message, ProgressMessage) and message.step == step:
            control.must_finish = True

    return ask


def test_the_weights_of_the_last_step_are_evaluated_and_the_best_are_published(lab):
    options = {"eval_strategy": "steps", "eval_steps": 5, "logging_steps": 1, "metric_for_best_model": "loss"}
    whole = lab.run(**options)
    stopped = lab.run(on_message=finish_at(8), **options)
    assert stopped.code is ExitCode.SUCCESS
    assert max(stopped.points("train/loss")) == 8
    losses = stopped.points("eval/loss")
    assert sorted(losses) == [5, 8]
    assert losses[5] == whole.points("eval/loss")[5], "what came before is as it would have been"
    assert stopped.result.metrics["eval/loss"] == pytest.approx(min(losses.values()), rel=1e-5)


def test_a_run_that_is_not_to_be_evaluated_is_when_it_is_finished(lab):
    stopped = lab.run(on_message=finish_at(3), eval_strategy="no", save_strategy="no")
    assert sorted(stopped.points("eval/loss")) == [3]


def test_one_that_is_told_before_it_trains_does_one_step(lab):
    def ask(message: object, control: Control) -> None:
        if isinstance(message, PhaseMessage):
            control.must_finish = True

    assert sorted(lab.run(on_message=ask).points("eval/loss")) == [1]


def test_a_drain_in_its_last_evaluation_leaves_that_to_the_next_attempt(lab):
    def ask(message: object, control: Control) -> None:
        finish_at(4)(message, control)
        if control.must_finish and isinstance(message, PhaseMessage) and message.phase == "evaluating":
            control.requested = ExitCode.DRAINED

    drained = lab.run(on_message=ask, eval_strategy="no", save_strategy="no")
    assert drained.code is ExitCode.DRAINED

    def ask_again(message: object, control: Control) -> None:
        control.must_finish = True

    stopped = lab.run(checkpoints=drained.checkpoints, on_message=ask_again, eval_strategy="no", save_strategy="no")
    assert sorted(stopped.points("eval/loss")) == [4]
    assert stopped.weights == lab.run(on_message=finish_at(4), eval_strategy="no", save_strategy="no").weights
