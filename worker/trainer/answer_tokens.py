"""Answers as tokens, beside the tokens of what they answer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from worker.trainer.tokens import Tokens, Words

_CHUNK: Final = 1_000


def with_answers(sources: Tokens, tokenizer: Any, answers: Sequence[str], *, max_length: int) -> Tokens:
    """``sources`` with the answers as ``labels``, as the tokenizer writes targets, each with the token that marks its end.

    ``words`` counts them: its ``first_tokens`` are the places of the decoder that stand for the labels, from 0 in each answer.
    """
    rows: list[np.ndarray] = []
    cut: list[bool] = []
    for start in range(0, len(answers), _CHUNK):
        batch = tokenizer(
            text_target=list(answers[start : start + _CHUNK]),
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
        )
        for ids, encoding in zip(batch["input_ids"], batch.encodings, strict=True):
            row = _ended(ids, eos_id=tokenizer.eos_token_id, max_length=max_length)
            cut.append(bool(encoding.overflowing) or row[: len(ids)] != ids)
            rows.append(np.asarray(row, dtype=np.int64))
    lengths = [len(row) for row in rows]
    return replace(
        sources,
        words=Words(
            first_tokens=np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
            offsets=np.cumsum([0, *lengths]).astype(np.int64),
        ),
        labels=np.concatenate(rows),
        cut_answers=np.asarray(cut, dtype=np.uint8),
    )


def _ended(ids: list[int], *, eos_id: int | None, max_length: int) -> list[int]:
    """With the end marked, for tokenizers that mark none themselves. mBART's puts the language behind it."""
    if eos_id is None or eos_id in ids[-2:]:
        return ids
    return [*ids[: max_length - 1], eos_id]
