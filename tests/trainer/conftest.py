"""A small model with dropout, small data, and runs of the trainer within this process or as one of its own."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from transformers import BertConfig, BertModel

from app.dataset.resolved import ResolvedData
from app.manifest import sha256_of
from app.spec.base import ProblemType
from app.spec.job import JobSpec
from app.spec.messages import Message, ProgressMessage, ResultMessage
from app.spec.run import ExitCode, RunSpec
from tests.hub.fixtures import fake_hub
from worker.trainer.attempt import run_attempt
from worker.trainer.control import Control, Stopped
from worker.trainer.reporting import Reporter
from worker.trainer.tasks import Task, task_of

__all__ = ["fake_hub"]

ROOT = Path(__file__).parents[2]
GOOD = ["fine", "great", "lovely", "nice", "superb", "bright"]
BAD = ["awful", "bad", "dull", "poor", "weak", "grim"]
NEUTRAL = ["the", "film", "was", "and", "its", "plot", "music", "actors", "felt", "quite", "rather", "very"]
TRAIN_FILE, VALIDATION_FILE, TEST_FILE = (f"file-{digit * 32}" for digit in "123")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fresh_accelerator() -> None:
    """A process has one Accelerator state; here several runs share the process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of random weights with dropout, and its tokenizer."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *NEUTRAL]
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def reviews(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Texts of 3 to 12 words whose label is told by one of them, most of the time."""
    chooser = random.Random(seed)
    rows = []
    for _ in range(count):
        label = chooser.choice(["bad", "good", "good"])
        words = chooser.choices(NEUTRAL, k=chooser.randint(2, 11))
        words.insert(chooser.randrange(len(words)), chooser.choice(GOOD if label == "good" else BAD))
        rows.append({"text": " ".join(words), "label": label if chooser.random() > 0.1 else "bad"})
    return rows


def task_for(problem_type: ProblemType, *, num_outputs: int) -> Task:
    """The task of data whose labels are the numbers from 0."""
    values = [] if problem_type == "regression" else list(range(num_outputs))
    return task_of(ResolvedData(
        task="text-classification", problem_type=problem_type, text="text", text_pair=None, label="label",
        label_names=[str(number) for number in range(num_outputs)], label_values=values, has_test=False,
    ))  # fmt: skip


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Recorder(Reporter):
    """Keeps the messages, and does what a test wants done at one of them."""

    def __init__(self, on_message: Callable[[Message], None]) -> None:
        super().__init__(os.open(os.devnull, os.O_WRONLY))
        self.messages: list[Message] = []
        self._on_message = on_message

    def send(self, message: Message) -> None:
        self.messages.append(message)
        self._on_message(message)
        super().send(message)

    def progress(self, message: ProgressMessage) -> None:
        self.send(message)


@dataclass
class Attempt:
    """How an attempt ended and what it said."""

    folder: Path
    code: ExitCode
    messages: list[Message] = field(default_factory=list)

    def all_of(self, kind: type) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]

    @property
    def result(self) -> ResultMessage:
        return self.all_of(ResultMessage)[-1]

    @property
    def weights(self) -> str:
        return sha256_of(self.folder / "model" / "model.safetensors")

    @property
    def checkpoints(self) -> list[str]:
        """Committed folders, newest first, as the worker would list them."""
        return [str(path) for path in sorted((self.folder / "checkpoints").glob("step-*"), reverse=True)]

    def points(self, name: str) -> dict[int, float]:
        from app.spec.messages import MetricsMessage

        return {p.step: p.value for m in self.all_of(MetricsMessage) for p in m.points if p.name == name}


class Lab:
    """Writes run directories for one model and data set, and runs them."""

    def __init__(self, home: Path, *, model: Path) -> None:
        self.home, self.model = home, model
        self.files = {
            "train": write_jsonl(home / "train.jsonl", reviews(50)),
            "validation": write_jsonl(home / "validation.jsonl", reviews(20, seed=1)),
        }
        self._number = 0

    def write(self, *, checkpoints: list[str] = [], spec: dict[str, Any] | None = None, **training: Any) -> Path:  # noqa: B006
        self._number += 1
        folder = self.home / f"attempt-{self._number}"
        folder.mkdir()
        training = {
            "num_train_epochs": 2,
            "per_device_train_batch_size": 8,
            "learning_rate": 1e-3,
            "bf16": False,
        } | training
        ids = {"train": TRAIN_FILE, "validation": VALIDATION_FILE, "test": TEST_FILE}
        job = {"model": "acme/tiny", "dataset": {name: ids[name] for name in self.files}, "training": training}
        run = RunSpec(
            job_id="ftjob-1",
            attempt=self._number,
            spec=JobSpec.model_validate(job | (spec or {})),
            model_path=str(self.model),
            files={
                name: {"path": str(path), "format": "jsonl", "sha256": sha256_of(path)}
                for name, path in self.files.items()
            },
            checkpoints=checkpoints,
            cache_dir=str(self.home / "cache"),
        )
        (folder / "run.json").write_text(run.model_dump_json())
        return folder

    def run(self, *, on_message: Callable[[Message, Control], None] | None = None, **options: Any) -> Attempt:
        """Run an attempt in this process. Raises what ends it as a user's error."""
        folder = self.write(**options)
        return self.run_folder(folder, on_message=on_message)

    def run_folder(self, folder: Path, *, on_message: Callable[[Message, Control], None] | None = None) -> Attempt:
        control = Control()
        report = Recorder(lambda message: on_message(message, control) if on_message else None)
        attempt = Attempt(folder=folder, code=ExitCode.SUCCESS, messages=report.messages)
        run = RunSpec.model_validate_json((folder / "run.json").read_bytes())
        AcceleratorState._reset_state(reset_partial_state=True)
        try:
            run_attempt(run, run_dir=folder, report=report, control=control, started_at=0.0)
        except Stopped as stop:
            attempt.code = stop.code
        finally:
            report.close()
        return attempt

    def run_until(self, step: int, *, request: ExitCode = ExitCode.DRAINED, **options: Any) -> Attempt:
        """Ask the attempt to stop once it has done ``step``."""

        def ask(message: Message, control: Control) -> None:
            if isinstance(message, ProgressMessage) and message.step == step:
                control.requested = request

        return self.run(on_message=ask, **options)


@pytest.fixture
def lab(tmp_path: Path, tiny_model: Path) -> Lab:
    return Lab(tmp_path, model=tiny_model)


class TrainerProcess:
    """The trainer as the worker starts it: its own process, an events pipe and a control pipe."""

    def __init__(self, folder: Path, *, environment: dict[str, str] | None = None) -> None:
        events_read, events_write = os.pipe()
        control_read, self.control = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "worker.trainer", str(folder),
             "--events-fd", str(events_write), "--control-fd", str(control_read)],
            pass_fds=(events_write, control_read), cwd=ROOT, stderr=(folder / "trainer.log").open("wb"),
            env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", **(environment or {})},
        )  # fmt: skip
        os.close(events_write)
        os.close(control_read)
        self.folder = folder
        self.events = os.fdopen(events_read, "rb")
        self.seen: list[dict[str, Any]] = []

    def wait_for(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The next message of a type with these values."""
        for line in self.events:
            message = json.loads(line)
            self.seen.append(message)
            if message["type"] == kind and all(message[name] == value for name, value in fields.items()):
                return message
        raise AssertionError(f"no {kind} {fields}; log:\n{(self.folder / 'trainer.log').read_text()}")

    def tell(self, word: str) -> None:
        os.write(self.control, f"{word}\n".encode())

    def finish(self) -> int:
        """Read to the end; the exit code."""
        self.seen += [json.loads(line) for line in self.events]
        return self.process.wait(timeout=60)


@pytest.fixture
def start_trainer() -> Iterator[Callable[..., TrainerProcess]]:
    started: list[TrainerProcess] = []

    def start(folder: Path, **options: Any) -> TrainerProcess:
        started.append(TrainerProcess(folder, **options))
        return started[-1]

    yield start
    for trainer in started:
        trainer.process.kill()
        trainer.process.wait()
        trainer.events.close()
        os.close(trainer.control)


@pytest.fixture
def without_dropout(lab, tmp_path):
    """The seeds of dropout depend on the parts, so that only without it two runs can be compared."""
    lab.model = shutil.copytree(lab.model, tmp_path / "no-dropout")
    config = json.loads((lab.model / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (lab.model / "config.json").write_text(json.dumps(config))
    return lab
