"""A tiny encoder with random weights and data that it can learn in seconds."""

import json
import random
from pathlib import Path

WORDS = [
    "the",
    "a",
    "this",
    "that",
    "film",
    "book",
    "meal",
    "trip",
    "was",
    "is",
    "seemed",
    "felt",
    "very",
    "quite",
    "rather",
    "truly",
    "good",
    "great",
    "lovely",
    "fine",
    "bad",
    "awful",
    "poor",
    "dull",
    "and",
    "but",
    "to",
    "me",
    "us",
    "them",
    "all",
    "again",
    "today",
    "once",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PRAISE, BLAME = {"good", "great", "lovely", "fine"}, {"bad", "awful", "poor", "dull"}


def build_encoder(folder: Path) -> Path:
    """A BERT of two layers without a head, saved as transformers saves it."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True)
    vocab = folder / "vocab.txt"
    vocab.write_text("\n".join([*SPECIAL, *WORDS]) + "\n")
    BertTokenizerFast(vocab=str(vocab), model_max_length=64).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(SPECIAL) + len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def pairs(count: int, *, seed: int) -> list[dict[str, object]]:
    """Two short sentences; the label tells whether they judge alike."""
    choose = random.Random(seed)
    rows = []
    for number in range(count):
        sides = [choose.choice((PRAISE, BLAME)) for _ in range(2)]
        first, second = (
            f"the {choose.choice(['film', 'book', 'meal', 'trip'])} was {choose.choice(['very', 'quite', 'truly'])} "
            f"{choose.choice(sorted(side))} to {choose.choice(['me', 'us', 'them'])}"
            for side in sides
        )
        rows.append({"sentence1": first, "sentence2": second, "label": int(sides[0] is sides[1]), "idx": number})
    return rows


def reviews(count: int, *, seed: int) -> list[dict[str, str]]:
    """One sentence and a label that is a word; learned within a few dozen steps."""
    choose = random.Random(seed)
    rows = []
    for _ in range(count):
        good = choose.random() < 0.5
        word = choose.choice(sorted(PRAISE if good else BLAME))
        noun = choose.choice(["film", "book", "meal", "trip"])
        rows.append(
            {"text": f"this {noun} seemed {word} and rather {word} again", "label": "praise" if good else "blame"}
        )
    return rows


def jsonl(rows: list[dict]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
