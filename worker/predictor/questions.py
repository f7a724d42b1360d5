"""Requests to a model that finds answers in contexts: what it does not take, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.prediction.wire import FoundAnswer, Predict
from app.spec.serving import ServingSpec
from worker.predictor.answers import MAX_ANSWER_LEN, find_answers
from worker.predictor.encoded import EncodedText
from worker.predictor.windows import MOST_WINDOWS

_OURS: Final = ("max_answer_len", "handle_impossible_answer")


@dataclass(frozen=True, kw_only=True)
class Unfit:
    message: str
    param: str


def unfit_for_answers(request: Predict) -> Unfit | None:
    """What of it a model that finds answers does not take."""
    for name in ("function_to_apply", "threshold", "sampling"):
        if getattr(request, name) is not None:
            param = "parameters" if name == "sampling" else f"parameters.{name}"
            return Unfit(message="the model finds answers in a context, and takes no such setting", param=param)
    for index, (_, context) in enumerate(request.inputs):
        if context is None or not context.strip():
            message = "the model answers questions about a context: send {question, context}"
            return Unfit(message=message, param=f"inputs[{index}]")
    if request.words is not None:
        return Unfit(message="the model takes texts, not words", param="inputs")
    return None


def unfit_for_others(request: Predict) -> Unfit | None:
    """What of it only a model that finds answers takes."""
    for name in _OURS:
        if getattr(request, name) is not None:
            return Unfit(message="the model does not find answers in a context", param=f"parameters.{name}")
    return None


def too_long(encoded: Sequence[EncodedText]) -> str | None:
    """What is wrong with contexts that would keep everybody waiting."""
    num_windows = sum(len(item.windows or ()) for item in encoded)
    if num_windows <= MOST_WINDOWS:
        return None
    return f"the contexts are read in {num_windows:,} windows, more than {MOST_WINDOWS:,}: send them in parts"


def found_answers(
    request: Predict, encoded: Sequence[EncodedText], logits: NDArray[np.float32], *, spec: ServingSpec
) -> list[list[FoundAnswer]]:
    """The answers to each question, best first, from the logits of all of its windows."""
    may_be_none = request.handle_impossible_answer
    behind = np.cumsum([item.num_rows for item in encoded])[:-1]
    return [
        find_answers(
            rows,
            [part.spans for part in item.parts if part.spans is not None],
            context or "",
            may_be_none=spec.handle_impossible_answer if may_be_none is None else may_be_none,
            num_best=request.top_k or 1,
            max_answer_len=request.max_answer_len or MAX_ANSWER_LEN,
        )
        for (_, context), item, rows in zip(request.inputs, encoded, np.split(logits, behind), strict=True)
    ]
