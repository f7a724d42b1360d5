"""One job whose processes each hold a part of its weights: the result of one process that has them all."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import BertConfig, BertModel

from app.spec.run import ExitCode
from tests.decoder import build_decoder
from tests.encoder_decoder import build_encoder_decoder
from tests.stack.processes import eventually
from tests.trainer.conftest import ROOT, write_jsonl
from tests.trainer.test_language_modeling import colours
from tests.trainer.test_sequence_to_sequence import reversals
from tests.worker.conftest import LONG, bare
from tests.worker.test_processes import (
    SMALL_MEMORY,
    assert_same_result,
    checkpoints,
    followers_of,
    group_of,
    lab,
    points,
    run,
    sha256,
    weights,
)

__all__ = ["lab", "run"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere trainers start cold, and slowly")


def sharded(processes):
    return {"resources": {"processes": processes, "fsdp": True}}


@pytest.fixture
def run_sharded(run):
    def run_some(processes, *, spec=None, **options):
        return run(processes, spec=sharded(processes) | (spec or {}), **options)

    return run_some


@pytest.fixture
def with_idle_rows(lab, tmp_path):
    """A model of whose tokens the data uses few, so that one process updates single rows of their table."""
    config = BertConfig.from_pretrained(lab.model)
    config.vocab_size = 401
    torch.manual_seed(1)
    vocabulary = (lab.model / "vocab.txt").read_bytes()
    settings = (lab.model / "tokenizer_config.json").read_bytes()
    lab.model = tmp_path / "idle-rows"
    BertModel(config).save_pretrained(lab.model)
    (lab.model / "vocab.txt").write_bytes(vocabulary)
    (lab.model / "tokenizer_config.json").write_bytes(settings)
    return lab


def use_rows(lab, train, validation):
    lab.files = {
        "train": write_jsonl(lab.home / "rows.jsonl", train),
        "validation": write_jsonl(lab.home / "more.jsonl", validation),
    }


def shapes(checkpoint):
    found = {}
    for name in ("model.safetensors", "optimizer.safetensors"):
        with safe_open(f"{checkpoint}/{name}", framework="pt") as file:
            found |= {(name, key): file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118 - no mapping
    return found


def assert_close(ours, theirs, *, atol=1e-4):
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=atol, rtol=1e-3)


CASES = {
    "accumulated, clipped hard, decayed": {
        "gradient_accumulation_steps": 2, "max_grad_norm": 0.05, "weight_decay": 0.1,
    },
    "lowest layers frozen, activations computed again": {"freeze_layers": 1, "gradient_checkpointing": True},
}  # fmt: skip


@pytest.mark.parametrize("training", CASES.values(), ids=CASES)
def test_two_with_half_of_the_weights_each_give_the_result_of_one(with_idle_rows, run, run_sharded, training):
    ours, theirs = run_sharded(2, **training), run(1, **training)
    assert_same_result(ours, theirs)
    assert shapes(checkpoints(ours)[0]) == shapes(checkpoints(theirs)[0])


@pytest.mark.long
def test_where_a_batch_is_too_small_for_all_some_compute_for_nothing(run, run_sharded):
    """50 examples in batches of 4: of the last two, the third process gets none; and it has none of the head's two rows."""
    options = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "num_train_epochs": 1}
    assert_same_result(run_sharded(3, **options), run(1, **options))


def test_a_language_model_with_tied_weights_learns_as_in_one_process(lab, run, run_sharded, tmp_path):
    lab.model = build_decoder(tmp_path / "decoder")
    use_rows(lab, colours(60, seed=0), colours(21, seed=1))
    options = {"num_train_epochs": 1, "spec": {"metrics": ["exact_match", "perplexity"]}}
    ours = run_sharded(2, **options)
    assert_same_result(ours, run(1, **options))
    assert "lm_head.weight" not in weights(ours)


@pytest.mark.long
def test_an_encoder_decoder_writes_the_same_answers(lab, run, run_sharded, tmp_path):
    """Its micro-batches are padded, and its encoder is called by itself when it writes."""
    lab.model = build_encoder_decoder(tmp_path / "t5", dropout_rate=0.0)
    use_rows(lab, reversals() * 3, reversals()[:7])
    options = {"max_steps": 6, "learning_rate": 5e-3, "spec": {"metrics": ["exact_match", "rouge"]}}
    assert_same_result(run_sharded(2, **options), run(1, **options))


@pytest.mark.long
@pytest.mark.parametrize("adapter", [{"type": "lora", "r": 3}, {"type": "lora", "r": 4, "use_dora": True}])
def test_an_adapter_is_trained_and_merged_as_in_one_process(run, run_sharded, adapter):
    options = {"spec": {"adapter": adapter}, "learning_rate": 5e-3}
    ours, theirs = run_sharded(2, **options), run(1, **options)
    assert_same_result(ours, theirs)
    assert shapes(checkpoints(ours)[0]) == shapes(checkpoints(theirs)[0])
    assert_close(*(load_file(each.run_dir / "model/adapter/adapter_model.safetensors") for each in (ours, theirs)))


@pytest.mark.long
def test_in_bfloat16_the_curves_are_those_of_one_process_up_to_its_rounding(run, run_sharded):
    ours, theirs = run_sharded(2, bf16=True), run(1, bf16=True)
    losses = [{step: v for (name, step), v in points(each).items() if name == "train/loss"} for each in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], abs=0.01)
    assert {tensor.dtype for tensor in weights(ours).values()} == {torch.float32}
    assert_close(weights(ours), weights(theirs), atol=5e-3)


@pytest.mark.long
def test_with_dropout_the_same_number_of_processes_gives_the_same_bytes_stopped_or_not(lab, run_sharded, start):
    lab.model = lab.dropout_model
    options = {"num_train_epochs": 4, "eval_strategy": "steps", "eval_steps": 10}
    undisturbed, again = run_sharded(2, **options), run_sharded(2, **options)
    assert sha256(undisturbed) == sha256(again)
    assert points(undisturbed) == points(again)
    drained = start(lab.write(spec=sharded(2), logging_steps=1, **options))
    drained.wait_for("progress")
    drained.tell("drain")
    assert drained.finish() == ExitCode.DRAINED, drained.log()
    resumed = run_sharded(2, checkpoints=checkpoints(drained), **options)
    assert 0 < resumed.wait_for("started")["resumed_from_step"] < 28
    assert sha256(resumed) == sha256(undisturbed)
    assert points(drained) | points(resumed) == points(undisturbed)


@pytest.mark.long
def test_what_processes_with_parts_began_one_with_all_can_end_and_the_other_way_round(
    with_idle_rows, run, run_sharded, start
):
    undisturbed = run(1, num_train_epochs=8, weight_decay=0.1)
    for first, end in [(sharded(3), run), ({"resources": {"processes": 1}}, run_sharded)]:
        begun = start(with_idle_rows.write(spec=first, logging_steps=1, num_train_epochs=8, weight_decay=0.1))
        begun.wait_for("progress")
        begun.tell("drain")
        assert begun.finish() == ExitCode.DRAINED, begun.log()
        ended = end(2, checkpoints=checkpoints(begun), num_train_epochs=8, weight_decay=0.1)
        assert 0 < ended.wait_for("started")["resumed_from_step"] < 56
        assert_close(weights(ended), weights(undisturbed))


@pytest.fixture
def training_in_three(lab, nursery, start):
    trainer = start(lab.write(spec=sharded(3), **LONG))
    trainer.wait_for("progress")
    return trainer


@pytest.mark.long
def test_the_death_of_one_is_the_end_of_all(training_in_three):
    os.kill(min(followers_of(training_in_three)), signal.SIGKILL)
    assert training_in_three.finish() == 128 + signal.SIGKILL
    assert eventually(lambda: not group_of(training_in_three), seconds=5)
    [error] = [message for message in training_in_three.seen if message["type"] == "error"]
    assert error["code"] == "out_of_memory"


def test_a_hand_that_stops_any_of_them_drains_the_job(training_in_three):
    os.kill(max(followers_of(training_in_three)), signal.SIGTERM)
    assert training_in_three.finish() == ExitCode.DRAINED, training_in_three.log()
    assert checkpoints(training_in_three)
    assert eventually(lambda: not group_of(training_in_three), seconds=5)


@pytest.mark.long
def test_cancel_ends_all(training_in_three):
    training_in_three.tell("cancel")
    assert training_in_three.finish() == ExitCode.CANCELLED
    assert eventually(lambda: not group_of(training_in_three), seconds=5)


@pytest.mark.long
def test_a_drain_interrupts_an_evaluation_in_all_of_them(lab, run_sharded, start):
    """The next attempt begins with it."""
    rows = [json.loads(line) for line in lab.files["validation"].open()]
    write_jsonl(lab.files["validation"], rows * 200)
    options = {"num_train_epochs": 1, "eval_strategy": "no", "save_strategy": "no", "per_device_eval_batch_size": 8}
    trainer = start(lab.write(spec=sharded(2), **options))
    trainer.wait_for("phase", phase="evaluating")
    trainer.tell("drain")
    assert trainer.finish() == ExitCode.DRAINED, trainer.log()
    assert eventually(lambda: not group_of(trainer), seconds=5)
    [path] = checkpoints(trainer)
    assert json.loads((Path(path) / "trainer_state.json").read_bytes())["evaluation_pending"]
    rest = run_sharded(3, checkpoints=[path], **options)
    assert rest.wait_for("started")["resumed_from_step"] == rest.seen[-1]["last_step"]
    assert not [message for message in rest.seen if message["type"] == "progress"]


def test_a_process_whose_memory_is_too_small_says_what_to_ask_for(lab):
    folder = lab.write(spec=sharded(2), max_steps=3)
    done = subprocess.run(
        [sys.executable, "-c", SMALL_MEMORY, str(folder)],
        cwd=ROOT, env=bare(), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [str(ExitCode.USER_ERROR)], done.stderr
    *_, error = [json.loads(line) for line in (folder / "events").open()]
    assert (error["code"], error["param"]) == ("out_of_memory", "training.per_device_train_batch_size")
    assert "gradient_accumulation_steps" in error["hint"]
