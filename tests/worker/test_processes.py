"""One job in several processes: the result of one, whatever their number, and all of them end together."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from app.manifest import sha256_of
from app.spec.run import ExitCode
from tests.stack.processes import eventually
from tests.trainer.conftest import ROOT, write_jsonl
from tests.trainer.test_token_classification import tagged
from tests.worker.conftest import LONG, bare

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere trainers start cold, and slowly")

ROUNDING = 1e-5
"""What was asked for is 1e-4."""


def asking_for(processes, **more):
    return {"resources": {"processes": processes}, **more}


@pytest.fixture
def lab(lab, tmp_path):
    """Without dropout, whose masks depend on how a batch is divided."""
    lab.dropout_model = lab.model
    lab.model = shutil.copytree(lab.model, tmp_path / "no-dropout")
    config = json.loads((lab.model / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (lab.model / "config.json").write_text(json.dumps(config))
    return lab


@pytest.fixture
def run(lab, nursery, start):
    """Run an attempt to its end."""

    def run_one(processes, *, code=ExitCode.SUCCESS, spec=None, **training):
        trainer = start(lab.write(spec=asking_for(processes, **(spec or {})), logging_steps=1, **training))
        assert trainer.finish() == code, trainer.log()
        return trainer

    return run_one


def points(trainer):
    found = {}
    for message in trainer.seen:
        if message["type"] == "metrics":
            found |= {(point["name"], point["step"]): point["value"] for point in message["points"]}
    return found


def weights(trainer):
    return load_file(trainer.run_dir / "model/model.safetensors")


def sha256(trainer):
    return sha256_of(trainer.run_dir / "model/model.safetensors")


def checkpoints(trainer):
    return [str(path) for path in sorted((trainer.run_dir / "checkpoints").glob("step-*"), reverse=True)]


def assert_same_result(found, expected):
    """Every point of every curve, what was measured at the end, and the weights."""
    ours, theirs = points(found), points(expected)
    assert ours.keys() == theirs.keys()
    assert len({name for name, _ in ours}) > 4
    assert max(abs(ours[place] - theirs[place]) for place in ours) < ROUNDING
    first, second = (trainer.seen[-1] for trainer in (found, expected))
    assert first["report"]["num_examples"] == second["report"]["num_examples"]
    assert first["metrics"] == pytest.approx(second["metrics"], abs=ROUNDING)
    expected_weights = weights(expected)
    for name, tensor in weights(found).items():
        torch.testing.assert_close(tensor, expected_weights[name], atol=1e-4, rtol=1e-3)


def group_of(trainer):
    """Numbers of the living processes of a trainer's group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, fields = stat.read_text().rpartition(")")
        except OSError:
            continue
        state, _, group = fields.split()[:3]
        if int(group) == trainer.pid and state not in "ZX":
            found.append(int(name.split()[0]))
    return found


def followers_of(trainer):
    return [pid for pid in group_of(trainer) if pid != trainer.pid]


CASES = {
    "plain": {},
    "accumulation, with a short last group": {"gradient_accumulation_steps": 4},
    "of like length, clipped hard": {"train_sampling_strategy": "group_by_length", "max_grad_norm": 0.05},
}


@pytest.mark.parametrize("training", CASES.values(), ids=CASES)
def test_two_processes_give_the_result_of_one(run, training):
    assert_same_result(run(2, **training), run(1, **training))


@pytest.mark.long
def test_where_a_batch_is_too_small_for_all_some_have_no_share(run):
    """50 examples in batches of 4: of the last two, the third process gets none."""
    options = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "num_train_epochs": 1}
    assert_same_result(run(3, **options), run(1, **options))


@pytest.mark.long
def test_words_are_tagged_by_two_as_by_one(lab, run):
    for split, seed in [("train", 0), ("validation", 1)]:
        write_jsonl(lab.files[split], tagged(40, seed=seed))
    assert_same_result(run(2), run(1))


@pytest.mark.long
def test_an_adapter_is_trained_by_two_as_by_one(run):
    options = {"spec": {"adapter": {"type": "lora", "r": 4}}, "learning_rate": 5e-3}
    assert_same_result(run(2, **options), run(1, **options))


def test_with_dropout_the_same_number_of_processes_gives_the_same_bytes_stopped_or_not(lab, run, start):
    lab.model = lab.dropout_model
    options = {"num_train_epochs": 5, "eval_strategy": "steps", "eval_steps": 20}
    undisturbed, again = run(2, **options), run(2, **options)
    assert sha256(undisturbed) == sha256(again)
    assert points(undisturbed) == points(again)
    drained = start(lab.write(spec=asking_for(2), logging_steps=1, **options))
    drained.wait_for("progress")
    drained.tell("drain")
    assert drained.finish() == ExitCode.DRAINED, drained.log()
    resumed = run(2, checkpoints=checkpoints(drained), **options)
    assert 0 < resumed.wait_for("started")["resumed_from_step"] < 35
    assert sha256(resumed) == sha256(undisturbed)
    assert points(drained) | points(resumed) == points(undisturbed)


def test_what_two_began_one_can_end_and_the_other_way_round(lab, run, start):
    undisturbed = run(1, num_train_epochs=8)
    for first, second in [(2, 1), (1, 2)]:
        drained = start(lab.write(spec=asking_for(first), logging_steps=1, num_train_epochs=8))
        drained.wait_for("progress")
        drained.tell("drain")
        assert drained.finish() == ExitCode.DRAINED
        resumed = run(second, checkpoints=checkpoints(drained), num_train_epochs=8)
        assert resumed.wait_for("started")["resumed_from_step"] > 0
        expected = weights(undisturbed)
        for name, tensor in weights(resumed).items():
            torch.testing.assert_close(tensor, expected[name], atol=1e-4, rtol=1e-3)


@pytest.fixture
def training_in_three(lab, nursery, start):
    trainer = start(lab.write(spec=asking_for(3), **LONG))
    trainer.wait_for("progress")
    assert len(followers_of(trainer)) == 2
    return trainer


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_death_of_one_is_the_end_of_all_and_is_told(training_in_three, number):
    trainer = training_in_three
    began_at = time.monotonic()
    os.kill(min(followers_of(trainer)), number)
    assert trainer.finish() == 128 + number
    assert eventually(lambda: not group_of(trainer), seconds=5)
    assert time.monotonic() - began_at < 10
    [error] = [message for message in trainer.seen if message["type"] == "error"]
    assert "of 3 processes" in error["message"]
    assert signal.Signals(number).name in error["message"]
    assert error["code"] == ("out_of_memory" if number == signal.SIGKILL else "trainer_crashed")


def test_none_survives_the_leader_though_nobody_kills_the_group(training_in_three):
    os.kill(training_in_three.pid, signal.SIGKILL)
    assert training_in_three.finish() == -signal.SIGKILL
    assert eventually(lambda: not group_of(training_in_three), seconds=5)


def test_none_survives_the_worker(training_in_three):
    """The leader's control pipe ends, and with the leader all of them."""
    os.close(training_in_three._control_fd)
    training_in_three._control_fd = os.open(os.devnull, os.O_RDONLY)
    assert eventually(lambda: not group_of(training_in_three), seconds=5)


def test_a_hand_that_stops_any_of_them_drains_the_job(training_in_three):
    os.kill(min(followers_of(training_in_three)), signal.SIGTERM)
    assert training_in_three.finish() == ExitCode.DRAINED, training_in_three.log()
    assert checkpoints(training_in_three)
    assert eventually(lambda: not group_of(training_in_three), seconds=5)


def test_all_of_them_finish_with_the_same_step(training_in_three):
    training_in_three.tell("finish")
    assert training_in_three.finish() == ExitCode.SUCCESS, training_in_three.log()
    last = max(message["step"] for message in training_in_three.seen if message["type"] == "progress")
    evaluated = {step for name, step in points(training_in_three) if name == "eval/loss"}
    assert max(evaluated) >= last
    assert training_in_three.seen[-1]["last_step"] == max(evaluated)


def test_cancel_ends_all(training_in_three):
    training_in_three.tell("cancel")
    assert training_in_three.finish() == ExitCode.CANCELLED
    assert eventually(lambda: not group_of(training_in_three), seconds=5)


def test_what_all_of_them_find_wrong_is_said_once(run):
    trainer = run(2, code=ExitCode.USER_ERROR, learning_rate=1e6, max_grad_norm=0, warmup_steps=0)
    [error] = [message for message in trainer.seen if message["type"] == "error"]
    assert error["code"] == "loss_nan"
    assert eventually(lambda: not group_of(trainer), seconds=5)


SMALL_MEMORY = """
import os, sys
import torch
from worker.trainer import __main__ as trainer, attempt

choose_forward = attempt.choose_forward

def choose(*args, **options):
    forward, how = choose_forward(*args, **options)

    class Small:
        collate = staticmethod(forward.collate)

        def __call__(self, model, inputs, *, device):
            logits = forward(model, inputs, device=device)
            if torch.distributed.get_rank() == 1 and len(logits) > fits:
                logits.sum().backward()
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return logits

    return Small(), how

attempt.choose_forward = choose
for fits, folder in zip((3, 0), sys.argv[1:]):
    child = os.fork()
    if child == 0:
        with open(folder + "/events", "wb") as events:
            trainer.leave(trainer.main([folder, "--events-fd", str(events.fileno())]))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.long
def test_one_whose_memory_is_smaller_takes_smaller_parts_or_says_that_it_cannot(lab, run):
    """The second of two processes can hold three examples at a time, and in the second job none."""
    folders = [lab.write(spec=asking_for(2), max_steps=3) for _ in range(2)]
    done = subprocess.run(
        [sys.executable, "-c", SMALL_MEMORY, *map(str, folders)],
        cwd=ROOT, env=bare(), capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [str(ExitCode.SUCCESS), str(ExitCode.USER_ERROR)], done.stderr
    said, refused = ([json.loads(line) for line in (folder / "events").open()] for folder in folders)
    [warning] = [m["message"] for m in said if m["type"] == "warning" and m["code"] == "out_of_memory"]
    assert "2 examples at a time" in warning
    expected = weights(run(1, max_steps=3))
    for name, tensor in load_file(folders[0] / "model/model.safetensors").items():
        torch.testing.assert_close(tensor, expected[name], atol=1e-4, rtol=1e-3)
    assert refused[-1]["type"] == "error"
    assert refused[-1]["code"] == "out_of_memory"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.long
def test_two_launchers_of_torch_train_one_job_from_a_shared_run_directory(lab, run):
    folder, port = lab.write(max_steps=3), free_port()
    environment = bare(GLOO_SOCKET_IFNAME="lo")
    nodes = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1",
             "--node-rank", str(node), "--master-addr", "127.0.0.1", "--master-port", str(port),
             "-m", "worker.trainer", str(folder)],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for node in range(2)
    ]  # fmt: skip
    try:
        (said, _), (nothing, error) = (node.communicate(timeout=100) for node in nodes)
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [0, 0], error
    assert nothing == ""
    assert json.loads(said.splitlines()[-1])["type"] == "result"
    expected = weights(run(1, max_steps=3))
    for name, tensor in load_file(folder / "model/model.safetensors").items():
        torch.testing.assert_close(tensor, expected[name], atol=1e-4, rtol=1e-3)
