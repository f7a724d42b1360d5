"""Which token comes next: for each text by its own settings and its own random numbers, whatever else is in the batch."""

import math
from collections.abc import Hashable, Sequence
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
        self._looks_back = sampling.repetition_penalty != 1.0
        self._settings = (id(self), sampling.do_sample, sampling.temperature, sampling.top_k, sampling.top_p)
        self._processors = LogitsProcessorList()
        if self._looks_back:
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

    @property
    def company(self) -> Hashable:
        """Choosers of which this is the same may have their scores computed together."""
        return self._settings if self._looks_back else self._settings[1:]

    def scores(self, logits: torch.Tensor, read: Sequence[int]) -> torch.Tensor:
        """``logits`` ``[rows, vocabulary]`` as the settings change them, behind the tokens ``read``; as probabilities to draw by."""
        before: Any = torch.tensor([read], device=logits.device) if self._looks_back else None
        scores: Any = logits
        scores = self._processors(before, scores)
        return torch.softmax(scores, dim=-1) if self._do_sample else scores

    def take(self, scores: torch.Tensor) -> int:
        """The token, given its text's row of ``scores``, ``[1, vocabulary]``."""
        if self._do_sample:
            return int(torch.multinomial(scores, num_samples=1, generator=self._generator))
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
    companies: dict[Hashable, list[int]] = {}
    for row, chooser in enumerate(choosers):
        if chosen[row] is not None and not chooser.takes_the_largest:
            companies.setdefault(chooser.company, []).append(row)
    for rows in companies.values():
        scores = choosers[rows[0]].scores(logits[rows], read[rows[0]])
        for place, row in enumerate(rows):
            chosen[row] = choosers[row].take(scores[place : place + 1])
    logprobs = [math.nan] * len(chosen)
    asked = [row for row, wanted in enumerate(wants_logprobs) if wanted and chosen[row] is not None]
    if asked:
        scores = logits[asked]
        taken = scores.gather(1, torch.tensor([[chosen[row]] for row in asked], device=scores.device))
        for row, value in zip(asked, (taken[:, 0] - scores.logsumexp(dim=-1)).tolist(), strict=True):
            logprobs[row] = value
    return [
        NotFiniteError() if token is None else Choice(token=token, logprob=logprob)
        for token, logprob in zip(chosen, logprobs, strict=True)
    ]
