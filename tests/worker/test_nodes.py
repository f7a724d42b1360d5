"""The ranks of a job over several nodes: torch's launcher starts them, and all of them end together."""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from app.spec.run import RUN_FILE, ExitCode, NodeSpec, node_folder
from tests.stack.processes import eventually
from tests.worker.conftest import LONG
from tests.worker.test_processes import assert_same_result, checkpoints, group_of, lab, run, sha256

__all__ = ["lab", "run"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere trainers start cold, and slowly")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def start_nodes(lab, nursery, start):
    """Start a trainer for each of two nodes; the leader's first."""

    def start_both(*, processes=1, **options):
        resources = {"processes": processes, "nodes": 2}
        folder = lab.write(spec={"resources": resources}, logging_steps=1, **options)
        written, endpoint = json.loads((folder / RUN_FILE).read_text()), f"127.0.0.1:{free_port()}"
        for rank in range(2):
            node = NodeSpec(rank=rank, count=2, endpoint=endpoint)
            node_folder(folder, rank).mkdir(exist_ok=True)
            (node_folder(folder, rank) / RUN_FILE).write_text(json.dumps(written | {"node": node.model_dump()}))
        return [start(node_folder(folder, rank)) for rank in range(2)]

    return start_both


def test_two_nodes_give_the_result_of_one_process(start_nodes, run):
    leader, other = start_nodes(processes=2, gradient_accumulation_steps=4)
    assert leader.finish() == ExitCode.SUCCESS, leader.log() + other.log()
    assert other.finish() == ExitCode.SUCCESS, other.log()
    assert_same_result(leader, run(1, gradient_accumulation_steps=4))
    assert {message["type"] for message in other.seen} <= {"alive", "warning"}, "one alone tells how the job gets on"


def rank_of(trainer, number):
    """The process number of a rank, by its command line."""
    for pid in group_of(trainer):
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(f"trainer, rank {number} of".encode()):
            return pid
    raise AssertionError(f"no rank {number}")


@pytest.fixture
def training(start_nodes):
    """Two nodes of two processes, at work for long."""
    nodes = start_nodes(processes=2, **LONG)
    nodes[0].wait_for("progress")
    assert [len(group_of(node)) for node in nodes] == [3, 3]
    return nodes


def assert_none_is_left(*trainers, seconds=10):
    assert eventually(lambda: not any(group_of(trainer) for trainer in trainers), seconds=seconds)


def test_the_death_of_a_rank_elsewhere_is_told_there_and_ends_this_node_too(training):
    leader, other = training
    began_at = time.monotonic()
    os.kill(rank_of(other, 3), signal.SIGKILL)
    assert other.finish() == 128 + signal.SIGKILL, other.log()
    assert time.monotonic() - began_at < 5
    [error] = [message for message in other.seen if message["type"] == "error"]
    assert (error["code"], "Rank 3 of 4 processes was killed" in error["message"]) == ("out_of_memory", True)
    assert leader.finish() not in set(ExitCode), leader.log()
    assert time.monotonic() - began_at < 15
    assert_none_is_left(leader, other)


@pytest.mark.long
def test_of_several_that_end_on_a_node_the_one_that_was_killed_is_told(training):
    leader, other = training
    os.kill(rank_of(leader, 0), signal.SIGKILL)
    assert leader.finish() == 128 + signal.SIGKILL, leader.log()
    assert "Rank 0 of 4" in leader.seen[-1]["message"]
    other.finish()
    assert_none_is_left(leader, other)


@pytest.mark.long
@pytest.mark.parametrize("node", [0, 1])
def test_none_survives_the_worker_of_its_node(training, node):
    orphaned = training[node]
    os.close(orphaned._control_fd)
    orphaned._control_fd = os.open(os.devnull, os.O_RDONLY)
    assert_none_is_left(orphaned, seconds=5)
    training[1 - node].finish()
    assert_none_is_left(*training)


def test_a_drained_job_goes_on_and_ends_with_the_same_bytes(start_nodes, run):
    options = {"num_train_epochs": 8, "eval_strategy": "steps", "eval_steps": 20}
    undisturbed, _ = start_nodes(**options)
    assert undisturbed.finish() == ExitCode.SUCCESS, undisturbed.log()
    drained, other = start_nodes(**options)
    drained.wait_for("progress")
    drained.tell("drain")
    assert drained.finish() == ExitCode.DRAINED, drained.log()
    assert checkpoints(drained)
    other.kill()
    resumed, _ = start_nodes(checkpoints=checkpoints(drained), **options)
    assert resumed.finish() == ExitCode.SUCCESS, resumed.log()
    assert 0 < resumed.wait_for("started")["resumed_from_step"] < 56
    assert sha256(resumed) == sha256(undisturbed)


@pytest.mark.long
def test_cancel_ends_the_leaders_node_at_once(training):
    leader, _ = training
    leader.tell("cancel")
    assert leader.finish() == ExitCode.CANCELLED, leader.log()
    assert_none_is_left(leader)


def test_what_all_of_them_find_wrong_is_said_by_the_leader(start_nodes):
    leader, _ = start_nodes(processes=2, learning_rate=1e6, max_grad_norm=0, warmup_steps=0)
    assert leader.finish() == ExitCode.USER_ERROR, leader.log()
    [error] = [message for message in leader.seen if message["type"] == "error"]
    assert error["code"] == "loss_nan"
