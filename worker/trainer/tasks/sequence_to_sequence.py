"""The answer to a source, token by token."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from transformers import AutoModelForSeq2SeqLM

from app.dataset.resolved import ResolvedData
from app.errors import InvalidRequest
from app.spec.base import ProblemType
from app.spec.job import JobSpec
from worker.predictor.encoder_decoder import source_text
from worker.trainer.answer_tokens import with_answers
from worker.trainer.examples import Examples
from worker.trainer.tasks.language_modeling import LanguageModeling
from worker.trainer.tokens import Tokens, tokenize

DEFAULT_MAX_TARGET_LENGTH = 512
"""Limit where none is given: that of sources (``base_model.DEFAULT_MAX_LENGTH``)."""


class SequenceToSequence(LanguageModeling):
    """Labels are the tokens of the answers, ``[tokens]`` int64, which the decoder of an encoder-decoder writes.

    As for text generation the logits are those before each label, and in numpy its ``MEASURES``; but what is read is no part of
    what is written, and the tokens of an example are those of its source alone.
    """

    problem_type: ClassVar[ProblemType] = "sequence_to_sequence"
    auto_model: ClassVar[Any] = AutoModelForSeq2SeqLM

    def __init__(self, data: ResolvedData) -> None:
        super().__init__(data)
        self._max_target_length = DEFAULT_MAX_TARGET_LENGTH

    def settle(self, spec: JobSpec, *, tokenizer: Any, limit: int) -> JobSpec:  # noqa: ARG002
        asked = spec.training.max_target_length
        if asked is not None and asked > limit:
            raise InvalidRequest(
                f"max_target_length is {asked}, but {spec.model} writes at most {limit} tokens",
                param="training.max_target_length",
            )
        self._max_target_length = min(limit, DEFAULT_MAX_TARGET_LENGTH) if asked is None else asked
        return spec

    def tokenize(self, tokenizer: Any, examples: Examples, *, max_length: int, cache_dir: Path) -> Tokens:
        sources = [source_text(*pair) for pair in examples.as_pairs()]
        found = tokenize(tokenizer, sources, None, max_length=max_length, cache_dir=cache_dir)
        found = replace(found, columns={"input_ids": found.columns["input_ids"]})
        return with_answers(found, tokenizer, examples.labels.tolist(), max_length=self._max_target_length)

    def settle_lengths(self, spec: JobSpec, tokens: Iterable[Tokens]) -> JobSpec:
        longest = max(int(np.diff(found.words.offsets).max()) for found in tokens if found.words is not None)
        needed = min(self._max_target_length, -(-longest // 8) * 8)
        chosen = spec.training.max_target_length or needed
        return spec.model_copy(update={"training": spec.training.model_copy(update={"max_target_length": chosen})})
