"""One small model of every task, published, and API processes in front of one predictor."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx2
import torch
from transformers import AutoTokenizer, BertConfig, BertForTokenClassification

from app import manifest
from app.clock import utc_now
from app.db import transaction
from app.job.states import JobStatus
from app.model.models import Model
from app.spec.serving import SERVING_FILE, ServingSpec
from tests.encoder_decoder import build_encoder_decoder
from tests.job.conftest import insert_job
from tests.predictor.tiny_models import make_model
from tests.predictor.tiny_writers import build_writer, byte_tokenizer, make_writer

ROOT = Path(__file__).parents[2]
TAGS = ["O", "B-animal", "I-animal", "B-place", "I-place"]
TEMPLATE = "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}[assistant] "
CONTEXT = "the happy cat sat on the red mat, the sad dog ran under a blue tree"


@dataclass
class Published:
    """Ids of the model and of its job, and where it lies."""

    id: str
    job_id: str
    folder: Path


@dataclass
class Endpoints:
    """The URL of a server, and of its models by name."""

    base: str
    address: str
    models: dict[str, Published] = field(default_factory=dict)

    def url(self, name: str, *, by: str = "id") -> str:
        return f"{self.base}/models/{quote(getattr(self.models[name], by), safe='')}"


def publish_all(artefacts: Path) -> dict[str, Published]:
    """Into the database and home that the settings name."""
    makers = {
        "pairs": make_model,
        "tags": lambda folder: make_model(folder, problem_type="multi_label_classification", seed=3),
        "stars": lambda folder: make_model(folder, problem_type="regression", labels=["score"], text_fields=["text"]),
        "reader": lambda folder: make_model(
            folder, problem_type="extractive_question_answering", text_fields=("question", "context"), max_length=24,
            doc_stride=6,
        ),
        "tagger": lambda folder: make_tagger(folder, tokenizer=artefacts / "models/pairs"),
        "writer": lambda folder: make_writer(folder, ends=False),
        "chatter": make_chatter,
        "translator": make_translator,
    }  # fmt: skip
    published = {}
    for name, make in makers.items():
        folder = artefacts / "models" / name
        make(folder)
        published[name] = publish(name, folder)
    return published


def publish(name: str, folder: Path) -> Published:
    job_id = insert_job(status=JobStatus.SUCCEEDED, best_metrics={"step": 80, "eval/accuracy": 1.0})
    model_id = f"ft:acme/base:org:{name}:{job_id.removeprefix('ftjob-')}"
    with transaction() as session:
        session.add(
            Model(
                id=model_id, kind="fine-tuned", base_model="acme/base", job_id=job_id,
                task=ServingSpec.model_validate_json((folder / SERVING_FILE).read_text()).task,
                path=f"models/{name}", manifest_sha256=manifest.read_manifest(folder).sha256, weights_sha256="0" * 64,
                size_bytes=1, config={}, metrics={}, created_at=utc_now(),
            )
        )  # fmt: skip
    return Published(id=model_id, job_id=job_id, folder=folder)


def seal(folder: Path, **spec) -> None:
    known = {"base_model": "tiny", "labels": [], "text_fields": ["text"], "max_length": 32, "precision": "float32"}
    (folder / SERVING_FILE).write_text(ServingSpec(**known | spec).model_dump_json())
    manifest.seal(folder, about={})


def make_tagger(folder: Path, *, tokenizer: Path) -> None:
    torch.manual_seed(4)
    words = AutoTokenizer.from_pretrained(tokenizer)
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=64, initializer_range=0.5, id2label=dict(enumerate(TAGS)),
    )  # fmt: skip
    BertForTokenClassification(config).save_pretrained(folder)
    words.save_pretrained(folder)
    seal(
        folder, task="token-classification", problem_type="single_label_classification", labels=TAGS,
        text_fields=["tokens"],
    )  # fmt: skip


def make_chatter(folder: Path) -> None:
    """Tuned on chats, as far as its template says."""
    build_writer("llama", ends=False, seed=1).save_pretrained(folder)
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    seal(
        folder, task="text-generation", problem_type="language_modeling", prompt_format="chat",
        text_fields=["messages"], max_length=64,
    )  # fmt: skip


def make_translator(folder: Path) -> None:
    build_encoder_decoder(folder, "bart", init_std=0.6)
    seal(folder, task="text2text-generation", problem_type="language_modeling", text_fields=["source"])


@contextmanager
def running_api(home: Path, predictor: str, **settings: str) -> Iterator[str]:
    """A server process of its own; gives its URL once it answers."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TUNERY_")}
    environment = clean | {
        "TUNERY_HOME": str(home), "TUNERY_PREDICTOR_URL": predictor, "TUNERY_LOG_LEVEL": "warning", **settings,
    }  # fmt: skip
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        command = [sys.executable, "-m", "app.cli", "serve", "--descriptor", str(listening.fileno())]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[listening.fileno()])
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        wait_until_live(url, process)
        yield url
    finally:
        process.terminate()
        process.wait()


def wait_until_live(url: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            httpx2.get(f"{url}/health/live", timeout=5).raise_for_status()
        except httpx2.HTTPError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return
