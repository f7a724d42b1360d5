"""Which token comes next: for each text by its own settings and its own random numbers, whatever else is in the batch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from app.prediction.wire import Sampling


class NotFiniteError(Exception):
    """The model gave no numbers to choose by."""

    def __init__(self) -> None:
        super().__init__("the model's outputs are not finite numbers")


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    token: int
    logprob: float
    """Logarithm of its probability by the model itself, whatever the settings; NaN where it was not asked for."""


class Chooser:
    """One text's way of choosing: that of transformers' ``generate``, with the same names and, of one seed, the same draws."""

    def __init__(self, sampling: Sampling, *, device: torch.device) -> None:
        self._do_sample = sampling.do_sample
        self._processors = LogitsProcessorList()
        if sampling.repetition_penalty != 1.0:
            self._processors.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
        if sampling.do_sample:
            if sampling.temperature != 1.0:
                self._processors.append(TemperatureLogitsWarper(sampling.temperature))
            self._processors.append(TopKLogitsWarper(sampling.top_k))
            if sampling.top_p < 1.0:
                self._processors.append(TopPLogitsWarper(sampling.top_p))
            self._generator = torch.Generator(device)
            if sampling.seed is None:
                self._generator.seed()
            else:
                self._generator.manual_seed(sampling.seed)

    @property
    def takes_the_largest(self) -> bool:
        """The token with the largest logit is the one, and nothing else need be computed."""
        return not self._do_sample and not self._processors

    def choose(self, logits: torch.Tensor, read: Sequence[int]) -> int:
        """The next token behind the tokens ``read``, given float32 ``logits`` ``[1, vocabulary]``."""
        before: Any = torch.tensor([read], device=logits.device)
        scores: Any = logits.clone()
        scores = self._processors(before, scores)
        if self._do_sample:
            return int(torch.multinomial(torch.softmax(scores, dim=-1), num_samples=1, generator=self._generator))
        return int(scores.argmax(dim=-1))


def choose(
    logits: torch.Tensor, choosers: Sequence[Chooser], *, read: Sequence[Sequence[int]], wants_logprobs: Sequence[bool]
) -> list[Choice | NotFiniteError]:
    """For each row of ``logits`` ``[rows, vocabulary]`` what its chooser takes, or the error that there is nothing to take."""
    logits = logits.float()
    largest, tokens = logits.max(dim=-1)  # NaN anywhere in a row makes its largest NaN
    chosen: list[int | None] = [
        token if math.isfinite(value) else None for token, value in zip(tokens.tolist(), largest.tolist(), strict=True)
    ]
    for row, chooser in enumerate(choosers):
        if chosen[row] is not None and not chooser.takes_the_largest:
            chosen[row] = chooser.choose(logits[row : row + 1], read[row])
    logprobs = [math.nan] * len(chosen)
    asked = [row for row, wanted in enumerate(wants_logprobs) if wanted and chosen[row] is not None]
    if asked:
        rows = logits[asked]
        taken = rows.gather(1, torch.tensor([[chosen[row]] for row in asked], device=rows.device))
        for row, value in zip(asked, (taken[:, 0] - rows.logsumexp(dim=-1)).tolist(), strict=True):
            logprobs[row] = value
    return [
        NotFiniteError() if token is None else Choice(token=token, logprob=logprob)
        for token, logprob in zip(chosen, logprobs, strict=True)
    ]
