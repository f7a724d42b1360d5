"""Small random classifiers, sealed as the trainer seals them, and a real predictor process to serve them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from app import manifest
from app.spec.serving import SERVING_FILE, ServingSpec

WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "ran",
    "on",
    "under",
    "mat",
    "tree",
    "quickly",
    "slowly",
    "red",
    "blue",
    "happy",
    "sad",
    "never",
    "always",
    "and",
    "or",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class TinyModel:
    id: str
    folder: Path
    manifest_sha256: str

    def question(self, **changes):
        known = {"model_id": self.id, "folder": str(self.folder), "manifest_sha256": self.manifest_sha256}
        return {"timeout_seconds": 60.0, **known, **changes}


def make_model(
    folder: Path,
    *,
    labels=("negative", "neutral", "positive"),
    text_fields=("sentence1", "sentence2"),
    max_length=32,
    precision="float32",
    problem_type="single_label_classification",
    hidden_size=32,
    seed=0,
    without=(),
    **serving,
) -> TinyModel:
    """A classifier; with ``problem_type="extractive_question_answering"`` a model that finds answers. ``serving``: more of its spec."""
    finds_answers = problem_type == "extractive_question_answering"
    labels = ("start", "end") if finds_answers else labels
    folder.mkdir(parents=True)
    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *WORDS])}
    core = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=hidden_size,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * hidden_size,
        max_position_embeddings=64,
        initializer_range=0.5,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        problem_type=None if finds_answers else problem_type,
    )
    made = BertForQuestionAnswering if finds_answers else BertForSequenceClassification
    made(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    spec = ServingSpec(
        task="question-answering" if finds_answers else "text-classification",
        problem_type=problem_type,
        base_model="tiny",
        labels=list(labels),
        text_fields=list(text_fields),
        max_length=max_length,
        precision=precision,
        **serving,
    )
    (folder / SERVING_FILE).write_text(spec.model_dump_json(exclude=set(without)))
    sealed = manifest.seal(folder, about={})
    return TinyModel(id=f"ft:tiny:org:{folder.name}:job", folder=folder, manifest_sha256=sealed.sha256)


@dataclass
class PredictorProcess:
    """A real predictor on a local socket, which can be killed and started again."""

    home: Path
    socket: Path
    options: tuple[str, ...] = ()
    process: subprocess.Popen | None = None

    @property
    def address(self) -> str:
        return f"ipc://{self.socket}"

    def start(self) -> None:
        command = [sys.executable, "-m", "worker.predictor", "--home", str(self.home), "--bind", self.address]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TUNERY_LOG_LEVEL": "warning"}
        self.process = subprocess.Popen([*command, *self.options], cwd=REPOSITORY, env=environment)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


@contextmanager
def running_predictor(home: Path, socket: Path, *options: str) -> Iterator[PredictorProcess]:
    predictor = PredictorProcess(home=home, socket=socket, options=options)
    predictor.start()
    try:
        yield predictor
    finally:
        if predictor.process.poll() is None:
            predictor.kill()
