"""What only the trainer sees of the data: its splits side by side, what it set aside, and how long the texts are in tokens."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from app.dataset.profiler import NUM_LENGTH_BUCKETS, length_bucket
from app.dataset.report import label_balance
from app.dataset.resolved import Split
from worker.trainer.examples import Examples
from worker.trainer.tasks import Task
from worker.trainer.tokens import Tokens

NUM_SHOWN: Final = 5


def find_overlaps(hashes: Mapping[Split, np.ndarray], splits: Mapping[Split, Examples]) -> dict[str, Any]:
    """By split that is evaluated: how many of its examples ask what a training example asks, and the first few of them.

    ``hashes`` are those of ``app.dataset.inputs``, in the order of the examples.
    """
    order = np.argsort(hashes["train"], kind="stable")
    trained = hashes["train"][order]
    return {
        name: _overlap(found, trained, order, train=splits["train"], split=splits[name])
        for name, found in hashes.items()
        if name != "train"
    }


def _overlap(
    found: np.ndarray, trained: np.ndarray, order: np.ndarray, *, train: Examples, split: Examples
) -> dict[str, Any]:
    places = np.minimum(np.searchsorted(trained, found), len(trained) - 1)
    numbers = np.flatnonzero(trained[places] == found)
    return {
        "num_rows": len(numbers),
        "share": round(len(numbers) / max(1, len(found)), 4),
        "examples": [
            {"row": split.row_of(number), "train_row": train.row_of(order[places[number]])}
            for number in numbers[:NUM_SHOWN].tolist()
        ],
    }


def set_aside_report(task: Task, examples: Examples) -> dict[str, Any]:
    """Of a part of the training split, which the report has the rest of already: its size, and what of the labels is in it."""
    facts: dict[str, Any] = {"num_rows": len(examples), "set_aside_from": "train"}
    labels = examples.labels
    match task.problem_type:
        case "single_label_classification" | "token_classification":
            counts = np.bincount(labels, minlength=task.num_outputs)
        case "multi_label_classification":
            counts = labels.sum(axis=0, dtype=np.int64)
            facts["num_without_labels"] = int((labels.sum(axis=1) == 0).sum())
        case "regression":
            mean = float(labels.mean(dtype=np.float64))
            return facts | {"label_range": {"min": float(labels.min()), "max": float(labels.max()), "mean": mean}}
        case _:
            return facts
    return facts | label_balance(dict(zip(task.label_names, counts.tolist(), strict=True)))


def tokens_report(tokens: Tokens) -> dict[str, Any]:
    """How long the inputs of a split are as the model reads them, cut ones counted as long as what is left of them.

    Buckets of the histogram are those of texts: [0,16), [16,32), [32,64), …
    """
    lengths = tokens.lengths
    middle, long = np.percentile(lengths, [50, 95], method="higher")
    buckets = [length_bucket(int(length)) for length in lengths]
    report = {
        "num_inputs": len(lengths),
        "mean": round(float(lengths.mean()), 1),
        "p50": int(middle),
        "p95": int(long),
        "max": int(lengths.max()),
        "histogram": np.bincount(buckets, minlength=NUM_LENGTH_BUCKETS).tolist(),
        "num_truncated": int(tokens.truncated.sum()),
        "share_truncated": round(float(tokens.truncated.mean()), 4),
    }
    if tokens.cut_answers is not None:
        report["num_answers_truncated"] = int(tokens.cut_answers.sum())
    return report
