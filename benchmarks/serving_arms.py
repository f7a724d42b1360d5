"""The servers that benchmarks/predict.py compares: how each is started, asked and read."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PEERS = Path(__file__).with_name("peers")
_OF_OTHERS = ("TUNERY_", "PYTHON", "OMP_", "MKL_", "KMP_", "INFINITY_", "LITSERVE_", "LIT_SERVER_")
Scores = dict[str, float]


@dataclass(frozen=True)
class Arm:
    name: str
    title: str
    python: Path
    command: Callable[[int], list[str]]
    """By the port to listen on."""
    body: Callable[[str], dict[str, Any]]
    """The body that asks about a text."""
    read: Callable[[Any], Scores]
    """The answer's scores by label."""
    path: str = "/predict"
    environment: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    """Where it is started; None: a folder of its own."""
    serving: tuple[str, ...] | None = None
    """What stands in the command lines of those of its processes that serve; None: all serve."""

    def versions(self) -> str:
        code = "import sys, platform, torch, transformers; print(platform.python_version(), torch.__version__, transformers.__version__)"
        printed = subprocess.run(
            [self.python, "-c", code], capture_output=True, text=True, check=True, env=environment()
        )
        return "Python {}, torch {}, transformers {}".format(*printed.stdout.split())


def environment(*, passive: bool = False) -> dict[str, str]:
    """Of every server: as many threads for torch as this process may use cores, no GPU, no hub, no telemetry; the rest is theirs.

    ``passive``: threads that wait sleep, and leave the cores to others.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OF_OTHERS)}
    return kept | {
        "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))),
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        **({"OMP_WAIT_POLICY": "passive"} if passive else {}),
    }


def tunery(*, home: Path, job: str = "") -> Arm:
    """The whole service of the tree that this file lies in. Without ``job`` it has nothing to serve yet."""
    return Arm(
        name="tunery",
        title="**Tunery**, `tunery up`",
        python=Path(sys.executable),
        command=lambda port: [sys.executable, "-m", "app.cli", "up", "--home", str(home), "--port", str(port)],
        body=lambda text: {"model": job, "inputs": text},
        read=lambda answer: _by_label(answer["predictions"][0]),
        environment={"PYTHONPATH": str(ROOT)},
        folder=ROOT,
        serving=("-m app.cli serve ", "-m worker.predictor "),
    )


def pipeline(model: Path) -> Arm:
    return Arm(
        name="pipeline",
        title="FastAPI + `pipeline`, fp32",
        python=Path(sys.executable),
        command=lambda port: [sys.executable, str(PEERS / "pipeline_server.py"), str(model), str(port)],
        body=lambda text: {"text": text},
        read=_by_label,
    )


def litserve(model: Path, *, environments: Path) -> Arm:
    python = made(environments / "litserve", requirements=PEERS / "litserve.txt")
    return Arm(
        name="litserve",
        title="LitServe, bf16, batches of 32, 5 ms",
        python=python,
        command=lambda port: [str(python), str(PEERS / "litserve_server.py"), str(model), str(port)],
        body=lambda text: {"text": text},
        read=_by_label,
    )


def infinity(model: Path, *, environments: Path) -> Arm:
    python = made(environments / "infinity", requirements=PEERS / "infinity.txt")
    program = [str(python.with_name("infinity_emb")), "v2", "--model-id", str(model), "--engine", "torch"]
    settings = ["--dtype", "bfloat16", "--device", "cpu", "--no-trust-remote-code", "--host", "127.0.0.1"]
    return Arm(
        name="infinity",
        title="infinity_emb, bf16",
        python=python,
        command=lambda port: [*program, *settings, "--port", str(port)],
        body=lambda text: {"input": [text]},
        read=lambda answer: _by_label(answer["data"][0]),
        path="/classify",
    )


def _by_label(scores: list[dict[str, Any]]) -> Scores:
    return {one["label"]: one["score"] for one in scores}


def made(folder: Path, *, requirements: Path) -> Path:
    """The Python of an environment with exactly the ``requirements``, which is made when it is not there or they have changed."""
    python, stamp = folder / "bin" / "python", folder / "requirements.txt"
    wanted = requirements.read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"{folder}: installing {requirements.name}", file=sys.stderr, flush=True)
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True, env=environment())
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True, env=environment())
        stamp.write_text(wanted)
    return python


def request_parts(arm: Arm, text: str, *, number: str) -> tuple[str, str]:
    """The body that asks about ``text``, cut where ``number``, which stands in it once, gives way to another."""
    before, _, after = json.dumps(arm.body(text), ensure_ascii=False).partition(number)
    return before, after
