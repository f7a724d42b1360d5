"""The command line as a user runs it: real processes against one real stack."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.stack.processes import ROOT, Up


class Tunery:
    """Runs `tunery …` as a process of its own, without a terminal."""

    def __init__(self, url):
        self.url = url

    def run(self, *arguments, expect=0, **environment):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TUNERY_")}
        process = subprocess.run(
            [sys.executable, "-P", "-m", "app.cli", *map(str, arguments)],
            env=clean | {"PYTHONPATH": str(ROOT), "TUNERY_URL": self.url, "COLUMNS": "80"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert process.returncode == expect, f"{process.returncode}\n{process.stdout}\n{process.stderr}"
        return process

    def run_script(self, **environment):
        """What the console script prints to a shell that asks it for completions."""
        code = "import sys; sys.argv = ['tunery']; from app.cli import main; main()"
        process = subprocess.run(
            [sys.executable, "-P", "-c", code],
            env=os.environ | {"PYTHONPATH": str(ROOT), "TUNERY_URL": self.url} | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return process.stdout

    def json(self, *arguments, expect=0):
        """The one JSON document that a command prints."""
        output = self.run(*arguments, "--json", expect=expect).stdout
        assert output.count("\n") == 1
        return json.loads(output)


@pytest.fixture
def nowhere():
    """No server answers there."""
    return Tunery("http://127.0.0.1:9")


@pytest.fixture(scope="package")
def stack_url():
    home = Path(tempfile.mkdtemp(prefix="tunery-cli-"))
    up = Up(home / "home")
    try:
        yield up.wait_ready()
    finally:
        up.clean_up()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def tunery(stack_url):
    return Tunery(stack_url)


@pytest.fixture(scope="package")
def tiny_model(tmp_path_factory):
    """A BERT of one small layer with random weights and a vocabulary of a few words."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("model") / "tiny"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "very", "film", "a"]
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    transformers.set_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    vocabulary = {word: number for number, word in enumerate(words)}
    transformers.BertTokenizer(vocab=vocabulary).save_pretrained(folder)
    return folder


@pytest.fixture(scope="package")
def reviews(tmp_path_factory):
    """Sixty-four reviews, of which one word tells the label."""
    path = tmp_path_factory.mktemp("data") / "reviews.jsonl"
    rows = [
        {"text": f"a {'very ' * (n % 3)}{('bad', 'good')[n % 2]} film", "label": ("no", "yes")[n % 2]}
        for n in range(64)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
