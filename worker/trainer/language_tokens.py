"""Texts whose tokens are learned: each from those before it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.spec.words import Span
from worker.trainer.tokens import Tokens, Words

_CHUNK = 1_000


def tokenize_texts(
    tokenizer: Any,
    texts: Sequence[tuple[str, Sequence[Span]]],
    *,
    max_length: int,
    marks_end: bool,
    in_blocks: bool,
) -> Tokens:
    """``labels`` are the tokens that begin within the spans of each text, ``words`` where the tokens before them are.

    ``marks_end``: special tokens are put around a text, and that of its end is learned too. ``in_blocks``: a text longer than
    ``max_length`` makes several examples, one after the other; else it is cut.
    """
    ids: list[np.ndarray] = []
    is_target: list[np.ndarray] = []
    truncated: list[bool] = []
    for start in range(0, len(texts), _CHUNK):
        part = texts[start : start + _CHUNK]
        batch = tokenizer([text for text, _ in part], add_special_tokens=marks_end, return_attention_mask=False)
        for (text, spans), encoding in zip(part, batch.encodings, strict=True):
            row, target = _of_text(encoding, spans)
            ends = bool(spans) and spans[-1][1] == len(text)
            if marks_end and tokenizer.eos_token_id is not None and (not len(row) or row[-1] != tokenizer.eos_token_id):
                row, target = np.append(row, tokenizer.eos_token_id), np.append(target, ends)
            width = len(row) if in_blocks else max_length
            for first in range(0, min(len(row), width), max_length):
                ids.append(row[first : first + max_length])
                is_target.append(target[first : first + max_length])
                truncated.append(not in_blocks and len(row) > max_length)
    return _assemble(ids, is_target, truncated)


def _of_text(encoding: Any, spans: Sequence[Span]) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of a text, and whether each is one to be learned."""
    starts = np.array([start for start, _ in encoding.offsets], dtype=np.int64)
    ends = np.array([end for _, end in encoding.offsets], dtype=np.int64)
    target = np.zeros(len(starts), dtype=bool)
    for first, behind in spans:
        target |= (ends > first) & (starts < behind) & (ends > starts)
    return np.array(encoding.ids, dtype=np.int32), target


def _assemble(ids: list[np.ndarray], is_target: list[np.ndarray], truncated: list[bool]) -> Tokens:
    for target in is_target:
        target[:1] = False  # nothing comes before it
    before = [np.flatnonzero(target) - 1 for target in is_target]
    labels = [row[target].astype(np.int64) for row, target in zip(ids, is_target, strict=True)]
    return Tokens(
        columns={"input_ids": np.concatenate(ids).astype(np.int32)},
        offsets=np.cumsum([0, *map(len, ids)]).astype(np.int64),
        truncated=np.asarray(truncated, dtype=np.uint8),
        words=Words(
            first_tokens=np.concatenate(before).astype(np.int32),
            offsets=np.cumsum([0, *map(len, before)]).astype(np.int64),
        ),
        labels=np.concatenate(labels),
    )
