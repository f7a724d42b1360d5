"""What ONNX Runtime makes of an export against what the serving engine answers, input by input."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from app.errors import InvalidModel
from worker.export.graph import OUTPUT
from worker.predictor.encoded import EncodedText
from worker.predictor.encoding import TextPair
from worker.predictor.engine import LoadedModel

TOLERANCE: Final = 1e-3
"""Largest difference of two logits, relative to those above 1: in float32 it is a hundredth of that."""
WORDS: Final = (1, 2, 5, 13, 40, 100, 400)
"""In the texts that are compared; cut where the model reads no more."""
BATCHES: Final = (1, 3, 7)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    num_compared: int
    largest_difference: float
    num_tokens: list[int]
    """Of the inputs."""


def sample_inputs(model: LoadedModel, tokenizer: Any) -> list[EncodedText]:
    """Texts of tokens of the vocabulary, drawn with a seed, as the model reads them."""
    choose = random.Random(0)  # noqa: S311 - texts to compare, no secrets
    vocabulary = sorted(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens))

    pairs: list[TextPair]

    def text(num_words: int) -> str:
        tokens = choose.choices(vocabulary, k=num_words)
        return str(tokenizer.convert_tokens_to_string(tokens)).strip() or "a"

    if model.finds_answers:
        pairs = [(text(1), text(count)) for count in WORDS]  # only the context may be long
    elif len(model.spec.text_fields) > 1:
        pairs = [(text(count), text(count)) for count in WORDS]
    else:
        pairs = [(text(count), None) for count in WORDS]
    return [part for encoded in model.encode(pairs) for part in encoded.parts if part.num_tokens]


def compare(
    model: LoadedModel,
    exported: Path,
    inputs: Sequence[EncodedText],
    *,
    pad_id: int,
    on_compared: Callable[[int], None],
) -> Comparison:
    """Each input alone and in batches with longer and shorter ones.

    Raises InvalidModel, saying where, if they differ by more than ``TOLERANCE``.
    """
    import onnxruntime  # noqa: PLC0415 - of an extra

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
    taken = [each.name for each in session.get_inputs()]
    largest, done = 0.0, 0
    for batch in _batches(inputs):
        found = session.run([OUTPUT], _padded(batch, taken, pad_id=pad_id))[0]
        for number, item in enumerate(batch):
            difference = _difference(_rows(item, found[number]), model.forward([item]))
            if not difference <= TOLERANCE:
                raise InvalidModel(
                    f"The exported model answers otherwise than the served one: by {difference:.2g} for an input of "
                    f"{item.num_tokens} tokens in a batch of {len(batch)}, where {TOLERANCE:g} is allowed.",
                    param="model",
                    code="export_differs",
                    hint="Download the model and load it with transformers.",
                )
            largest = max(largest, difference)
        done += len(batch)
        on_compared(done)
    return Comparison(num_compared=done, largest_difference=largest, num_tokens=[item.num_tokens for item in inputs])


def num_compared(inputs: Sequence[EncodedText]) -> int:
    return sum(map(len, _batches(inputs)))


def _batches(inputs: Sequence[EncodedText]) -> Iterator[Sequence[EncodedText]]:
    for size in BATCHES:
        for start in range(0, len(inputs), size):
            yield inputs[start : start + size]


def _padded(batch: Sequence[EncodedText], taken: Sequence[str], *, pad_id: int) -> dict[str, NDArray[np.int64]]:
    width = max(item.num_tokens for item in batch)
    arrays = {name: np.zeros((len(batch), width), dtype=np.int64) for name in taken}
    arrays["input_ids"][:] = pad_id
    for row, item in enumerate(batch):
        arrays["input_ids"][row, : item.num_tokens] = item.input_ids
        arrays["attention_mask"][row, : item.num_tokens] = 1
        if "token_type_ids" in arrays and item.token_type_ids is not None:
            arrays["token_type_ids"][row, : item.num_tokens] = item.token_type_ids
    return arrays


def _rows(item: EncodedText, logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Those that the engine gives for the input: of a text one, else one for each token that stands for something."""
    if item.first_tokens is None:
        return logits[None]
    tokens = np.array(item.first_tokens, dtype=np.int64)
    return np.where((tokens >= 0)[:, None], logits[tokens], np.float32(np.nan))


def _difference(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The largest; NaN only where one of the two is, and the other is not."""
    if found.shape != expected.shape or not np.array_equal(np.isnan(found), np.isnan(expected)):
        return float("nan")
    scale = np.maximum(1.0, np.abs(expected))
    return float(np.nan_to_num(np.abs(found - expected) / scale).max(initial=0.0))
