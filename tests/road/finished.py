"""Finished models of random weights, one for each task, registered as they are: nothing has to be trained for them."""

import json
import random
from pathlib import Path

import torch
from transformers import BertConfig, BertForTokenClassification

from app.manifest import MANIFEST
from app.spec.serving import SERVING_FILE
from tests.encoder_decoder import build_encoder_decoder
from tests.predictor.tiny_models import WORDS, make_model
from tests.predictor.tiny_writers import make_writer

SINGLE = {"text_fields": ("text",)}
FINDS = {"problem_type": "extractive_question_answering", "text_fields": ("question", "context"), "doc_stride": 6}
TAGS = ["O", "B-animal", "I-animal", "B-place", "I-place"]


def build(task: str, folder: Path) -> Path:
    """A folder that ``POST /models`` takes."""
    match task:
        case "class":
            make_model(folder, **SINGLE)
        case "pair":
            make_model(folder, labels=("same", "other"))
        case "labels":
            make_model(folder, problem_type="multi_label_classification", **SINGLE)
        case "number":
            make_model(folder, labels=("score",), problem_type="regression", **SINGLE)
        case "answer":
            make_model(folder, **FINDS, max_length=24)
        case "tags":
            make_model(folder, text_fields=("tokens",), max_length=24)
            _retask(folder, task="token-classification", problem_type="token_classification", labels=TAGS)
            torch.manual_seed(1)
            config = BertConfig.from_pretrained(folder)
            config.num_labels = len(TAGS)
            config.id2label, config.label2id = dict(enumerate(TAGS)), {tag: i for i, tag in enumerate(TAGS)}
            BertForTokenClassification(config).save_pretrained(folder)
        case "text":
            make_writer(folder)
        case "source":
            build_encoder_decoder(folder)
            spec = {
                "task": "text2text-generation", "problem_type": "sequence_to_sequence", "base_model": "tiny",
                "labels": [], "text_fields": ["source"], "max_length": 32, "precision": "float32",
            }  # fmt: skip
            (folder / SERVING_FILE).write_text(json.dumps(spec))
    (folder / MANIFEST).unlink(missing_ok=True)
    return folder


def _retask(folder: Path, **changes) -> None:
    spec = json.loads((folder / SERVING_FILE).read_text())
    (folder / SERVING_FILE).write_text(json.dumps(spec | changes))


def rows_for(task: str, count: int, *, seed: int = 0) -> list[dict]:
    """Rows as a user has them, some longer than the model reads, with a column that plays no part."""
    choose = random.Random(seed)

    def words(most: int = 40) -> list[str]:
        return choose.choices(WORDS, k=choose.randint(1, most))

    def row() -> dict:
        match task:
            case "pair":
                return {"sentence1": " ".join(words(20)), "sentence2": " ".join(words(20))}
            case "answer":
                return {"question": " ".join(words(4)), "context": " ".join(words(60))}
            case "tags":
                return {"tokens": words()}
            case "source":
                return {"source": " ".join(choose.choices(["one", "two", "red", "green"], k=choose.randint(1, 9)))}
            case _:
                return {"text": " ".join(words())}

    return [row() | {"number": number} for number in range(count)]


def as_inputs(task: str, rows: list[dict]) -> list:
    """The same for ``POST /predict``."""
    match task:
        case "pair":
            return [{"text": row["sentence1"], "text_pair": row["sentence2"]} for row in rows]
        case "answer":
            return [{"question": row["question"], "context": row["context"]} for row in rows]
        case "tags":
            return [{"tokens": row["tokens"]} for row in rows]
        case "source":
            return [row["source"] for row in rows]
        case _:
            return [row["text"] for row in rows]
