"""Trainers that are born warm: as those that start cold, but sooner; and never a job that waits for a dead nursery."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app import host
from app.manifest import sha256_of
from app.spec.run import ExitCode
from tests.stack.processes import eventually
from tests.trainer.conftest import ROOT
from tests.worker.conftest import LONG, START_SECONDS, bare
from worker.nursery import keeper
from worker.nursery.keeper import Keeper
from worker.process import trainer_environment
from worker.trainer.control import ORPHANED

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere trainers start cold")

SET_BY_IMPORTS = {"TORCHINDUCTOR_CACHE_DIR"}
"""A trainer that starts cold has these a few seconds later."""

PROBE = """
import json, os
def tell():
    with open({path!r}, "a") as file:
        file.write(json.dumps(dict(os.environ)) + "\\n")
tell()
os.register_at_fork(after_in_child=tell)
"""


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def open_files(pid: int) -> list[str]:
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed while they are listed
            found.append(str(link.readlink()))
    return found


def seconds_until_it_loads_the_model(start, run_dir: Path) -> float:
    """Of a job that succeeds."""
    started_at = time.monotonic()
    trainer = start(run_dir)
    trainer.wait_for("phase", phase="validating")
    seconds = time.monotonic() - started_at
    assert trainer.finish() == ExitCode.SUCCESS
    return seconds


def test_before_the_fork_there_is_one_thread(nursery):
    assert len(list(Path(f"/proc/{nursery.pid}/task").iterdir())) == 1
    assert not any("nvidia" in path for path in open_files(nursery.pid))


def test_a_trainer_is_at_work_in_a_fraction_of_the_time_of_a_cold_start_and_trains_the_same_weights(
    lab, nursery, start, without_nursery
):
    folders = [lab.write(num_train_epochs=1) for _ in range(3)]
    warm = min(seconds_until_it_loads_the_model(start, folder) for folder in folders[:2])
    without_nursery()
    cold = seconds_until_it_loads_the_model(start, folders[2])
    assert warm < cold / 4
    assert len({sha256_of(folder / "model/model.safetensors") for folder in folders}) == 1


def test_the_process_list_tells_what_it_is(lab, nursery, start):
    run_dir = lab.write(**LONG)
    trainer = start(run_dir)
    assert command_line(trainer.pid).startswith(f"trainer: python -m worker.trainer {run_dir}")
    assert "worker.trainer" not in command_line(nursery.pid)
    assert os.getpgid(trainer.pid) == os.getsid(trainer.pid) == trainer.pid


def test_it_holds_its_own_ends_and_no_others(lab, nursery, start):
    start(lab.write(**LONG))
    second = start(run_dir := lab.write(**LONG))
    second.wait_for("phase", phase="preparing")
    held = open_files(second.pid)
    assert held.count(str(run_dir / "trainer.log")) == 2
    assert len([path for path in held if path.startswith("pipe:")]) == 2
    assert not [path for path in held if path.startswith("socket:")]


def test_exit_codes_reach_the_worker(lab, nursery, start):
    broken = lab.write()
    (broken / "run.json").unlink()
    trainer = start(broken)
    assert trainer.finish() == 1
    assert "FileNotFoundError" in trainer.log()
    cancelled = start(lab.write(**LONG))
    cancelled.wait_for("progress")
    cancelled.tell("cancel")
    assert cancelled.finish() == ExitCode.CANCELLED
    lab.files["train"].write_text('{"text": null, "label": "bad"}\n')
    refused = start(lab.write())
    assert refused.finish() == ExitCode.USER_ERROR
    assert refused.seen[-1]["type"] == "error"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_so_do_signals(lab, nursery, start, number):
    trainer = start(lab.write(**LONG))
    trainer.wait_for("progress")
    os.kill(trainer.pid, number)
    assert trainer.finish() == -number


def test_two_at_once_live_and_die_apart(lab, nursery, start):
    first, second = (start(lab.write(**options)) for options in (LONG, {"num_train_epochs": 3}))
    first.wait_for("progress")
    os.close(first._control_fd)
    first._control_fd = os.open(os.devnull, os.O_WRONLY)
    assert first.finish() == ORPHANED, "its death pipe is held by another"
    assert second.finish() == ExitCode.SUCCESS


def test_killing_leaves_nothing_of_its_group(lab, nursery, start):
    trainer = start(lab.write(**LONG))
    trainer.wait_for("progress")
    trainer.kill()
    assert trainer.exit_code() == -signal.SIGKILL
    assert not Path(f"/proc/{trainer.pid}").exists(), "it is reaped"


def test_a_job_outlives_the_nursery_and_the_next_one_starts(lab, nursery, start):
    short, long = start(lab.write(num_train_epochs=20)), start(lab.write(**LONG))
    short.wait_for("progress")
    long.wait_for("progress")
    dead = nursery.pid
    os.kill(dead, signal.SIGKILL)
    assert short.finish() == ExitCode.SUCCESS
    long.kill()
    assert long.exit_code() == -signal.SIGKILL
    assert start(lab.write(num_train_epochs=1)).finish() == ExitCode.SUCCESS
    assert eventually(lambda: nursery.wait_until_ready(seconds=START_SECONDS), seconds=START_SECONDS)
    assert nursery.pid != dead


def test_a_nursery_that_hangs_holds_no_job_up(lab, nursery, start, monkeypatch):
    monkeypatch.setattr(keeper, "FORK_SECONDS", 0.2)
    hanging = nursery.pid
    started_at = host.process_started(hanging)
    os.kill(hanging, signal.SIGSTOP)
    trainer = start(lab.write(num_train_epochs=1))
    assert eventually(lambda: command_line(trainer.pid).startswith(sys.executable)), "it was started cold"
    assert trainer.finish() == ExitCode.SUCCESS
    assert not host.is_alive(hanging, started_at=started_at)


def test_it_is_born_with_as_bare_an_environment_as_it_starts_with(
    lab, adopting, start, without_nursery, tmp_path, monkeypatch
):
    told = tmp_path / "environments"
    (tmp_path / "probe").mkdir()
    (tmp_path / "probe/sitecustomize.py").write_text(PROBE.format(path=str(told)))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'probe'}:{ROOT}")
    monkeypatch.setenv("TUNERY_FIRST_API_KEY", "canary")
    monkeypatch.setenv("HF_TOKEN", "canary")
    kept = Keeper()
    kept.start(environment=trainer_environment(os.environ), home=tmp_path)
    try:
        assert kept.wait_until_ready(seconds=START_SECONDS)
        monkeypatch.setattr("worker.process.NURSERY", kept)
        start(lab.write(**LONG)).wait_for("phase")
        without_nursery()
        start(lab.write(**LONG)).wait_for("phase")
    finally:
        kept.stop()
    *_, warm, cold = map(json.loads, told.read_text().splitlines())
    assert {name: value for name, value in warm.items() if name not in SET_BY_IMPORTS} == cold
    assert "canary" not in told.read_text()


def test_a_nursery_that_cannot_start_is_tried_again_ever_more_slowly(adopting, lab, tmp_path, monkeypatch, start):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/setproctitle.py").write_text(f"open({str(tmp_path / 'tries')!r}, 'a').write('.')\n1 / 0\n")
    kept, begun_at = Keeper(), time.monotonic()
    kept.start(environment=bare(PYTHONPATH=f"{tmp_path / 'broken'}:{ROOT}"), home=tmp_path)
    try:
        assert eventually((tmp_path / "tries").exists)
        monkeypatch.setattr("worker.process.NURSERY", kept)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        started_at = time.monotonic()
        trainer = start(lab.write(num_train_epochs=1))
        assert time.monotonic() - started_at < keeper.PATIENCE_SECONDS / 2, "nothing is worth waiting for"
        assert trainer.finish() == ExitCode.SUCCESS
        tries = len((tmp_path / "tries").read_text())
        assert keeper.FIRST_PAUSE_SECONDS * (2 ** (tries - 1) - 1) <= time.monotonic() - begun_at
    finally:
        kept.stop()


WORKER = """
import os, sys, time
from pathlib import Path
from worker.nursery.keeper import NURSERY
from worker.process import TrainerProcess, trainer_environment
NURSERY.start(environment=trainer_environment(os.environ), home=Path(sys.argv[1]))
assert NURSERY.wait_until_ready(seconds=60)
trainer = TrainerProcess(Path(sys.argv[1]))
print("pids", NURSERY.pid, trainer.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("wedged", [pytest.param(False, marks=pytest.mark.long), True], ids=["idle", "hanging"])
def test_nursery_and_trainer_die_with_the_worker(lab, wedged):
    command = [sys.executable, "-c", WORKER, str(lab.write(**LONG))]
    with subprocess.Popen(command, env=bare(), cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
        told = next(line for line in worker.stdout if line.startswith("pids "))
        pids = [int(pid) for pid in told.split()[1:]]
        started = {pid: host.process_started(pid) for pid in pids}
        if wedged:
            os.kill(pids[0], signal.SIGSTOP)
        worker.kill()
    assert eventually(lambda: not any(host.is_alive(pid, started_at=at) for pid, at in started.items()), seconds=5)
