"""The newcomer's script in the README, run by a shell as it stands there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = re.compile(r"^## Three calls\n.*?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.xdist_group("reader")
def test_the_three_calls_of_the_readme_give_a_prediction(reader):
    match = SCRIPT.search((ROOT / "README.md").read_text())
    assert match is not None
    tunery = f"{sys.executable} -P -m app.cli"
    script = match[1].replace("localhost:8000", reader.url.removeprefix("http://")).replace(".venv/bin/tunery", tunery)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT, env=os.environ | {"TUNERY_URL": reader.url, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert sorted(score["label"] for score in answer["predictions"][0]) == ["0", "1"]
