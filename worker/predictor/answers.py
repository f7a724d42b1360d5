"""From the logits of a question's windows to answers: the same when a model is evaluated and when it is asked."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from app.prediction.wire import FoundAnswer

__all__ = ["MAX_ANSWER_LEN", "NUM_BEST", "FoundAnswer", "Spans", "find_answers"]

NUM_BEST: Final = 20
"""Spans that are looked at in each window, as in BERT's evaluation on SQuAD."""
MAX_ANSWER_LEN: Final = 30
"""Tokens of the longest answer, unless somebody asks for another."""

Spans = NDArray[np.int32]
"""Characters of a window's tokens, ``[tokens, (first, behind the last)]``: empty for those that are not of the context."""


def log_probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of the start and of the end of the answer at each token of one window, ``[tokens, 2]``: as in training, all tokens count."""
    values = logits.astype(np.float64)
    largest = values.max(axis=0)
    normalized: NDArray[np.float64] = values - largest - np.log(np.exp(values - largest).sum(axis=0))
    return normalized


def find_answers(
    logits: NDArray[np.float32],
    windows: Sequence[Spans],
    context: str,
    *,
    may_be_none: bool,
    num_best: int = 1,
    max_answer_len: int = MAX_ANSWER_LEN,
) -> list[FoundAnswer]:
    """The ``num_best`` answers to one question, best first, from the logits of its windows, ``[tokens, (start, end)]``.

    The score of an answer is the probability that it starts where it does, times that that it ends there, in the window
    where this is largest. A window without an answer points to its first token; that there is none in any window, the answer
    "" from 0 to 0, is as probable as in the window that doubts it most, and a candidate if ``may_be_none``.
    """
    found: dict[tuple[int, int], float] = {}
    none, position = 0.0, 0
    for spans in windows:
        scores = log_probabilities(logits[position : position + len(spans)])
        position += len(spans)
        none = min(none, float(scores[0].sum()))
        for score, first, last in _best(scores, spans, num_best=max(NUM_BEST, num_best), max_answer_len=max_answer_len):
            span = _trimmed(context, int(spans[first, 0]), int(spans[last, 1]))
            if span[0] < span[1]:
                found[span] = max(score, found.get(span, -np.inf))
    if may_be_none or not found:
        found[0, 0] = none
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:num_best]
    return [
        FoundAnswer(text=context[start:end], score=float(np.exp(score)), start=start, end=end)
        for (start, end), score in ranked
    ]


def _best(
    scores: NDArray[np.float64], spans: Spans, *, num_best: int, max_answer_len: int
) -> Iterator[tuple[float, int, int]]:
    """The most probable spans of a window with their first and last tokens, among all that are short enough."""
    outside = spans[:, 0] >= spans[:, 1]
    starts, ends = np.where(outside[:, None], -np.inf, scores).T
    width = min(max_answer_len, len(ends))
    behind = sliding_window_view(np.concatenate([ends, np.full(width - 1, -np.inf)]), width)
    sums = (starts[:, None] + behind).ravel()
    count = min(num_best, len(sums))
    for place in np.argpartition(-sums, count - 1)[:count]:
        if np.isfinite(sums[place]):
            first, further = divmod(int(place), width)
            yield float(sums[place]), first, first + further


def _trimmed(context: str, start: int, end: int) -> tuple[int, int]:
    """Without white space at its ends, which some tokenizers count as a part of a word."""
    text = context[start:end]
    return start + len(text) - len(text.lstrip()), start + len(text.rstrip())
