"""The health checks of the images, run as the container engine runs them: a process and its exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import zmq

SCRIPT = Path(__file__).parents[2] / "docker/healthcheck.py"


def ask(part: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), part],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("scheme", ["ipc", "tcp"])
def test_the_predictor_is_well_while_it_listens(tmp_path, scheme):
    with zmq.Context() as context, context.socket(zmq.ROUTER) as server:
        server.bind(f"ipc://{tmp_path}/p.sock" if scheme == "ipc" else "tcp://127.0.0.1:*")
        address = server.getsockopt_string(zmq.LAST_ENDPOINT)
        assert ask("predictor", TUNERY_PREDICTOR_URL=address).returncode == 0

    gone = ask("predictor", TUNERY_PREDICTOR_URL=address)
    assert gone.returncode == 1
    assert gone.stdout.startswith("predictor: ")
    assert gone.stderr == ""
