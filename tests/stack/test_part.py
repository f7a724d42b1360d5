"""A part of the stack: real child processes of this one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.stack.commands import ROOT
from app.stack.part import Part
from tests.stack.processes import eventually


@pytest.fixture
def make_part():
    made = []

    def make(code, **options):
        part = Part(
            name="sleeper",
            command=[sys.executable, "-c", code],
            environment=dict(os.environ),
            death_signal=signal.SIGKILL,
            **options,
        )
        made.append(part)
        return part

    yield make
    for part in made:
        part.kill()


def test_a_part_that_keeps_dying_is_restarted_after_ever_longer_pauses(make_part):
    part = make_part("raise SystemExit(3)")
    part.start()
    pauses = []
    for _ in range(3):
        assert eventually(lambda: not part.is_running())
        assert part.ending() == "exit code 3"
        pauses.append(part.keep_alive())
        time.sleep(pauses[-1])
        part.keep_alive()
    assert pauses == [0.2, 0.4, 0.8]


def test_a_part_waiting_for_its_restart_stays_down_once_it_was_asked_to_stop(make_part):
    part = make_part("raise SystemExit(3)")
    part.start()
    assert eventually(lambda: not part.is_running())
    part.keep_alive()
    part.terminate()
    assert not part.is_running()


def test_killing_a_part_ends_what_it_started(make_part, tmp_path):
    note = tmp_path / "pid"
    code = f"""
import subprocess, sys, time, pathlib
child = subprocess.Popen(["sleep", "60"])
pathlib.Path({str(note)!r}).write_text(str(child.pid))
time.sleep(60)
"""
    part = make_part(code)
    part.start()
    assert eventually(lambda: note.exists() and note.read_text())
    part.kill()
    assert eventually(lambda: not _lives(int(note.read_text())))


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")
def test_a_part_dies_with_a_parent_that_is_killed(tmp_path):
    note = tmp_path / "pid"
    code = f"""
import os, signal, time, pathlib
from app.stack.part import Part
part = Part(name="p", command=["/bin/sleep", "60"], environment=dict(os.environ), death_signal=signal.SIGTERM)
part.start()
pathlib.Path({str(note)!r}).write_text(str(part.pid))
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        assert eventually(lambda: note.exists() and note.read_text())
        pid = int(note.read_text())
        assert eventually(lambda: "sleep" in _command_line(pid))
        parent.kill()
        parent.wait()
        assert eventually(lambda: not _lives(pid))
    finally:
        parent.kill()
        parent.wait()


def _command_line(pid):
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
