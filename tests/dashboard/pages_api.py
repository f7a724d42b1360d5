"""What the tests of forms put onto a server by its API: files and a model."""

import json
from pathlib import Path

import httpx2
import transformers

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "very", "film", "a"]


def upload(url: str, name: str, content: bytes) -> str:
    """The id of the file."""
    answer = httpx2.post(f"{url}/files", files={"file": (name, content)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def reviews(*, num_rows: int = 64, labels: tuple[str, str] = ("no", "yes")) -> bytes:
    """Of which one word tells the label."""
    rows = [
        {"text": f"a {'very ' * (n % 3)}{('bad', 'good')[n % 2]} film", "label": labels[n % 2]} for n in range(num_rows)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def save_tiny_model(folder: Path) -> Path:
    """A BERT of one small layer with random weights and a vocabulary of a few words."""
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, max_position_embeddings=64
    )  # fmt: skip
    transformers.set_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    transformers.BertTokenizer(vocab={word: number for number, word in enumerate(WORDS)}).save_pretrained(folder)
    return folder


def register(url: str, name: str, folder: Path) -> None:
    files = [("files", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]
    answer = httpx2.post(f"{url}/models", data={"name": name}, files=files)
    assert answer.status_code in {200, 201}, answer.text
