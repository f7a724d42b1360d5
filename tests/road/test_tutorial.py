"""The tutorial's code, block after block, against a running service and a hub that has a small BERT and a small MRPC."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.xdist_group("reader")
def test_a_reader_gets_through_the_tutorial(reader, monkeypatch):
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    printed: list[str] = []
    for block in BLOCK.findall(TUTORIAL.read_text()):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(block.replace("http://localhost:8000", reader.url), "tutorial", "exec"), names)
        printed.append(out.getvalue())
    said = "\n".join(printed)
    assert "{'text': 'sentence1', 'text_pair': 'sentence2', 'label': 'label'} ['not_equivalent', 'equivalent']" in said
    assert "epoch 3: accuracy" in said
    assert "succeeded" in said
    assert "new_weights" in said
    assert "model.safetensors" in said
    assert "'processes': 2, 'nodes': 1, 'fsdp': False}" in said
