"""Questions with their contexts as windows of tokens, and where in each window the answer is."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from worker.predictor.encoded import EncodedText
from worker.predictor.errors import UnfitInputError
from worker.predictor.windows import encode_questions
from worker.trainer.examples import Examples
from worker.trainer.tokens import Tokens, Windows, Words

FIRST, START, END = range(3)
"""Columns of the labels: whether a token is the first of its window, and the first or last of the answer."""
_CHUNK: Final = 1_000

Answer = tuple[str, int]
"""A text, and its first character in the context."""


def tokenize_questions(tokenizer: Any, examples: Examples, *, max_length: int, doc_stride: int) -> Tokens:
    """The windows of all contexts. ``labels`` are ``[tokens, 3]`` uint8, 0 or 1: ``FIRST``, ``START`` and ``END``.

    A window in which the answer does not stand whole points to its first token. Of several answers the first is learned.
    Raises UnfitInputError with the number of the example.
    """
    pairs = [(question, context or "") for question, context in examples.as_pairs()]
    has_types = "token_type_ids" in tokenizer.model_input_names
    columns: dict[str, list[np.ndarray]] = {"input_ids": [], **({"token_type_ids": []} if has_types else {})}
    spans: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    num_windows: list[int] = []
    for start in range(0, len(pairs), _CHUNK):
        try:
            encoded = encode_questions(
                tokenizer,
                pairs[start : start + _CHUNK],
                max_length=max_length,
                doc_stride=doc_stride,
            )
        except UnfitInputError as error:
            raise UnfitInputError(str(error), index=start + error.index) from error
        for answers, item in zip(examples.labels[start : start + _CHUNK], encoded, strict=True):
            num_windows.append(len(item.parts))
            labels += _labels(item.parts, answers)
            for window in item.parts:
                assert window.spans is not None
                spans.append(window.spans)
                for name, parts in columns.items():
                    parts.append(np.asarray(getattr(window, name), dtype=np.int32))
    lengths = np.array([len(part) for part in spans], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    places = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    return Tokens(
        columns={name: np.concatenate(parts) for name, parts in columns.items()},
        offsets=offsets,
        truncated=np.zeros(len(lengths), dtype=np.uint8),
        words=Words(first_tokens=places.astype(np.int32), offsets=offsets),
        labels=np.concatenate(labels),
        windows=Windows(examples=np.repeat(np.arange(len(pairs)), num_windows), spans=np.concatenate(spans)),
    )


def _labels(windows: Sequence[EncodedText], answers: Sequence[Answer]) -> list[np.ndarray]:
    """Of each window of one context."""
    spans = [window.spans for window in windows if window.spans is not None]
    places = [_places(part, answers) for part in spans]
    starts = [int(part[found[0], 0]) for part, found in zip(spans, places, strict=True) if len(found)]
    ends = [int(part[found[-1], 1]) for part, found in zip(spans, places, strict=True) if len(found)]
    labels = []
    for part, found in zip(spans, places, strict=True):
        marked = np.zeros((len(part), 3), dtype=np.uint8)
        marked[0, FIRST] = 1
        is_whole = len(found) > 0 and part[found[0], 0] == min(starts) and part[found[-1], 1] == max(ends)
        marked[found[0] if is_whole else 0, START] = 1
        marked[found[-1] if is_whole else 0, END] = 1
        labels.append(marked)
    return labels


def _places(spans: np.ndarray, answers: Sequence[Answer]) -> np.ndarray:
    """Numbers of a window's tokens that share a character with the answer."""
    if not answers:
        return np.array([], dtype=np.int64)
    text, start = answers[0]
    begins, ends = spans.T
    return np.flatnonzero((begins < start + len(text)) & (ends > start) & (begins < ends))
