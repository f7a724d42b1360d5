"""What was predicted for one input as JSON, the same wherever it is told: ``POST /predict``, a file of predictions, Hugging Face's clients."""

from collections.abc import Iterable
from typing import Any

from app.prediction.wire import Entity, FoundAnswer, Generated, LabelScore


def labels(scores: Iterable[LabelScore]) -> list[dict[str, Any]]:
    return [{"label": label, "score": score} for label, score in scores]


def entities(found: Iterable[Entity]) -> list[dict[str, Any]]:
    return [
        {"entity_group": one.kind, "score": one.score, "word": one.text, "start": one.start, "end": one.end}
        for one in found
    ]


def answers(found: Iterable[FoundAnswer]) -> list[dict[str, Any]]:
    return [{"answer": one.text, "score": one.score, "start": one.start, "end": one.end} for one in found]


def text(written: Generated) -> list[dict[str, Any]]:
    return [{"generated_text": written.text, "num_tokens": written.num_tokens, "finish_reason": written.finish_reason}]
