"""A process that drives a study is killed at each named place: nothing is lost, and nothing is there twice."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.failpoints import OF_STUDIES
from app.study import driving

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", [name for name in OF_STUDIES if name.startswith("trial.")])
def test_a_killed_driver_leaves_no_half_trial_and_the_next_one_goes_on(bench, tmp_path, name):
    sweep_id = bench.create(num_trials=2, max_parallel=2)
    environment = dict(os.environ) | {"PYTHONPATH": str(ROOT), "TUNERY_FAILPOINT": f"{name}@{tmp_path / 'mark'}"}
    code = f"from app.study import driving; driving.drive({sweep_id!r})"
    killed = subprocess.run([sys.executable, "-P", "-c", code], env=environment, cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    begun = bench.trials(sweep_id)
    assert len(begun) == (1 if name == "trial.stored" else 0)
    assert len(bench.http.get("/jobs").json()["data"]) == len(begun)

    driving.drive(sweep_id)
    trials = bench.trials(sweep_id)
    assert [trial["number"] for trial in trials] == [0, 1]
    assert {trial["job_id"] for trial in trials} == {job["id"] for job in bench.http.get("/jobs").json()["data"]}
    for value in (0.5, 0.6):
        bench.succeed(bench.claim(), value)
    driving.drive(sweep_id)
    assert bench.sweep(sweep_id)["status"] == "succeeded"
