"""The arms of the training benchmarks: one run of Tunery's trainer or of transformers.Trainer, as a process of its own.

``DIR`` of all benchmarks holds a folder for each data set with its splits as JSON lines (``mrpc/train.jsonl`` and so on);
``examples/`` of this repository is such a folder for its two data sets.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WATCH_SECONDS = 0.25
ARMS = (
    "ours-fp32",
    "ours-bf16",
    "ours-bf16-grouped",
    "trainer-fp32",
    "trainer-bf16",
    "trainer-bf16-grouped",
    "trainer-fp32-grouped",
)


@dataclass(frozen=True)
class DataSet:
    """A data set with the hyperparameters that both sides use."""

    texts: tuple[str, ...]
    held_out: str
    metrics: tuple[str, ...]
    """Those of the comparison, by their names in a job; the first decides."""
    label: str = "label"
    problem_type: str = "single_label_classification"
    epochs: float = 3
    batch_size: int = 32
    learning_rate: float = 5e-5
    max_length: int = 128


DATA_SETS = {
    "mrpc": DataSet(texts=("sentence1", "sentence2"), held_out="validation", metrics=("accuracy", "f1")),
    "paraphrase": DataSet(texts=("sentence1", "sentence2"), held_out="test", metrics=("accuracy", "f1")),
    "support_tickets": DataSet(texts=("text",), held_out="test", metrics=("accuracy", "f1_macro")),
    "banking77": DataSet(texts=("text",), held_out="test", metrics=("accuracy", "f1_macro"), epochs=5),
    "stsb": DataSet(
        texts=("sentence1", "sentence2"), held_out="validation", metrics=("pearson", "spearmanr"), problem_type="regression",
    ),
    "go_emotions": DataSet(
        texts=("text",), held_out="validation", metrics=("f1_micro", "f1_macro"), label="labels",
        problem_type="multi_label_classification", learning_rate=2e-4,
    ),
    "wnut17": DataSet(
        texts=("tokens",), held_out="validation", metrics=("f1", "accuracy"), label="ner_tags",
        problem_type="token_classification", learning_rate=2e-4,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    arm: str
    data_set: str
    data: Path
    model: Path
    seed: int
    epochs: float
    recipe: Mapping[str, Any] | None = None
    """If given, ours trains with these settings and chooses all others itself; else with the data set's."""
    adapter: Mapping[str, Any] | None = None
    """A job's ``adapter``, for ours."""
    program: tuple[str, ...] = ("-m", "worker.trainer")
    """What Python runs for ours; the run directory is given last."""
    processes: int = 1
    """A job's ``resources.processes``, for ours."""
    fsdp: bool = False
    """A job's ``resources.fsdp``, for ours."""
    environment: Mapping[str, str | None] = field(default_factory=dict)
    """What ours gets other than a job's trainer does; None: without it."""


def measure(run: Run, *, watch: Callable[[int], None] | None = None) -> dict[str, Any]:
    """The data set's metrics in per cent, seconds of training, peak memory of the whole process in MB.

    ``watch`` is called with the number of our process, now and then, while it runs.
    """
    with tempfile.TemporaryDirectory() as folder:
        if run.arm.startswith("ours"):
            command, environment = _prepare_ours(run, Path(folder))
            lines, peak = _execute(command, environment, watch=watch)
            result = next(message for line in reversed(lines) if (message := json.loads(line))["type"] == "result")
            measured = {
                **{name: 100 * result["metrics"][f"eval/{name}"] for name in DATA_SETS[run.data_set].metrics},
                "training_seconds": result["timings"]["training_seconds"],
            }
        else:
            options = [str(run.data), str(run.model), run.arm, run.data_set, str(run.seed), str(run.epochs), folder]
            script = Path(__file__).with_name("trainer_arm.py")
            lines, peak = _execute([sys.executable, str(script), *options], os.environ)
            measured = json.loads(lines[-1])
    who = {"arm": run.arm, "data_set": run.data_set, "seed": run.seed, "epochs": run.epochs}
    return {**who, **measured, "peak_megabytes": peak}


def _prepare_ours(run: Run, folder: Path) -> tuple[list[str], Mapping[str, str]]:
    sys.path.insert(0, str(ROOT))
    from app.spec.job import JobSpec
    from app.spec.run import DataFile, RunSpec
    from worker.process import trainer_environment

    data_set = DATA_SETS[run.data_set]
    training: dict[str, Any] = {"seed": run.seed, "bf16": "bf16" in run.arm}
    if run.arm.endswith("grouped"):
        training["train_sampling_strategy"] = "group_by_length"
    if run.recipe is not None:
        training |= run.recipe
    else:
        training |= {
            "num_train_epochs": run.epochs, "per_device_train_batch_size": data_set.batch_size,
            "learning_rate": data_set.learning_rate, "max_length": data_set.max_length, "weight_decay": 0.0,
            "warmup_steps": 0, "eval_strategy": "no", "save_strategy": "no", "logging_steps": 50,
        }  # fmt: skip
    ids = {"train": f"file-{'1' * 32}", "validation": f"file-{'2' * 32}"}
    files = {}
    for split, name in {"train": "train", "validation": data_set.held_out}.items():
        path = (run.data / run.data_set / f"{name}.jsonl").resolve()
        files[split] = DataFile(path=str(path), format="jsonl", sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    columns = dict(zip(("text", "text_pair"), data_set.texts, strict=False)) | {"label": data_set.label}
    spec = JobSpec.model_validate(
        {"model": "benchmark", "dataset": ids, "columns": columns, "training": training,
         "problem_type": data_set.problem_type, "metrics": list(data_set.metrics), "adapter": run.adapter,
         "resources": {"processes": run.processes, "fsdp": run.fsdp}}
    )  # fmt: skip
    ours = RunSpec(
        job_id="ftjob-benchmark", attempt=1, files=files, model_path=str(run.model.resolve()), cache_dir=str(folder),
        spec=spec,
    )  # fmt: skip
    (folder / "run.json").write_text(ours.model_dump_json())
    environment = trainer_environment(os.environ) | run.environment
    kept = {name: value for name, value in environment.items() if value is not None}
    return [sys.executable, *run.program, str(folder)], kept


def _execute(
    command: list[str], environment: Mapping[str, str], *, watch: Callable[[int], None] | None = None
) -> tuple[list[str], float]:
    """Lines of standard output, and the process's peak memory in MB."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, cwd=ROOT, env=dict(environment), stdout=out, stderr=err)
        ended, status, usage = os.wait4(process.pid, os.WNOHANG if watch else 0)
        while watch and not ended:
            watch(process.pid)
            time.sleep(WATCH_SECONDS)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{err.read()[-3000:]}")
        return out.read().splitlines(), usage.ru_maxrss / 1000


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--model", type=Path, required=True, help="folder of an encoder, as save_pretrained writes it")
    parser.add_argument("--data-set", choices=DATA_SETS, default="mrpc")
