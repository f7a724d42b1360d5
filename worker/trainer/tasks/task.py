"""What the trainer asks of a task. Adding one is a class in a file of its own, named in ``worker.trainer.tasks``."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, PretrainedConfig

from app.dataset.resolved import ResolvedData
from app.errors import InvalidRequest
from app.spec.base import ProblemType
from app.spec.job import JobSpec
from app.spec.training import TrainingSpec
from app.spec.words import Span
from worker.predictor.decode import FUNCTIONS, scores_of
from worker.predictor.encoded import EncodedText
from worker.predictor.engine import LoadedModel
from worker.trainer.examples import Examples
from worker.trainer.mistakes import Mistakes
from worker.trainer.splitting import random_split
from worker.trainer.tokens import Tokens, needed_length, tokenize

NEAR_TIE: Final = {"float32": 1e-5, "bfloat16": 1e-3}
"""Scores closer than this to each other, or to the threshold, may fall either way between two ways to compute a model."""


class UnfitRowError(Exception):
    """What is wrong with a row, such as "has a span beyond its text", and the code of the refusal."""

    def __init__(self, problem: str, *, code: str) -> None:
        super().__init__(problem)
        self.code = code


_KNOWN_TO_TRANSFORMERS: Final = ("single_label_classification", "multi_label_classification", "regression")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The logits of one split from serving, beside those from training."""

    differing: np.ndarray
    """Numbers of the rows whose answers differ by more than rounding can explain."""
    explained: np.ndarray
    """The served logits, with those of training where the answer was a near tie: their metrics must be the same."""


class Task(ABC):
    """One or two texts in, a row of logits out for each target; what they mean, how they are trained and what is told of them.

    A target is an example, or each word of one. In torch, ``logits`` are float32 ``[targets of the batch, outputs]``; in numpy
    ``[targets, outputs]``, of a whole split. ``labels`` are rows of what ``stack`` made.
    """

    problem_type: ClassVar[ProblemType]
    tags_words: ClassVar[bool] = False
    """The targets are words."""
    has_head: ClassVar[bool] = True
    """A layer of the model is this task's own, with an output for each label."""
    has_fixed_outputs: ClassVar[bool] = False
    """The outputs of every model with this task's head mean the same."""
    hint: ClassVar[str | None] = None
    """What to say to somebody whose rows do not fit."""
    auto_model: ClassVar[Any] = AutoModelForSequenceClassification
    """The transformers class that puts this task's head on a base model."""

    def __init__(self, data: ResolvedData) -> None:
        self.label_names = data.label_names
        """Names of the outputs."""
        self._class_ids = data.class_ids()

    @property
    def num_outputs(self) -> int:
        return len(self.label_names)

    def configure(self, config: PretrainedConfig) -> None:
        """Make ``config`` that of a model for this task; the head's size follows from it."""
        config.id2label = dict(enumerate(self.label_names))
        config.label2id = {label: number for number, label in enumerate(self.label_names)}
        config.problem_type = self.problem_type if self.problem_type in _KNOWN_TO_TRANSFORMERS else None

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """As they are served: float64, ``[examples, outputs]``."""
        scores: np.ndarray = scores_of(logits, function_to_apply=FUNCTIONS[self.problem_type])
        return scores

    def read(self, text: Any, label: Any) -> tuple[str, list[Span], Any]:
        """The text of one row, its words where they are the targets, and its label in a small form.

        What is given was checked by ``app.dataset``, but for how one column fits the other. Raises UnfitRowError.
        """
        return text, [], self.read_label(label)

    def check(self, label: Any, *, pair: str) -> None:  # noqa: B027 - most labels fit any second text
        """Raise UnfitRowError if a label, as ``read`` gave it, does not fit the second text of its row ("": it has none)."""

    def settle(self, spec: JobSpec, *, tokenizer: Any, limit: int) -> JobSpec:  # noqa: ARG002
        """Choose what depends on the tokenizer, before anything is tokenised; ``spec`` with it. Raises InvalidRequest.

        ``limit``: tokens that an encoder-decoder can write, at most.
        """
        return spec

    def settle_lengths(self, spec: JobSpec, tokens: Iterable[Tokens]) -> JobSpec:  # noqa: ARG002
        """Choose what depends on the tokens of all splits, beside ``max_length``."""
        return spec

    def tokenize(self, tokenizer: Any, examples: Examples, *, max_length: int, cache_dir: Path) -> Tokens:
        """The tokens of a split, and the labels with them where they are tokens themselves."""
        return tokenize(
            tokenizer, examples.texts, examples.pairs, words=examples.words, max_length=max_length, cache_dir=cache_dir
        )

    def needed_length(self, splits: Sequence[Tokens], *, limit: int) -> int:
        """``max_length`` for "auto", within the limit."""
        return needed_length(splits, limit=limit)

    def serving(self, args: TrainingSpec) -> dict[str, Any]:  # noqa: ARG002
        """What the served model must know beside what all do, by the names of ``ServingSpec``."""
        return {}

    def of_split(self, examples: Examples) -> "Task":  # noqa: ARG002
        """The task for measuring this split, where its answers cannot be told from logits and labels alone."""
        return self

    def encode(self, engine: LoadedModel, examples: Examples, tokens: Tokens) -> list[EncodedText]:  # noqa: ARG002
        """The inputs of a split for the serving engine."""
        return engine.encode(examples.as_pairs(), words=examples.words)

    @abstractmethod
    def read_label(self, value: Any) -> Any:
        """The label of one target in a small form."""

    @abstractmethod
    def stack(self, labels: Sequence[Any]) -> np.ndarray:
        """The labels of a split, ``[targets, …]``, from those that ``read`` gave."""

    def set_aside(self, examples: Examples, *, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the examples to train on and of ``fraction`` of them to validate on, each in ascending order."""
        return random_split(len(examples), fraction=fraction, seed=seed)

    def weigh_classes(self, args: TrainingSpec, labels: np.ndarray) -> None:  # noqa: ARG002 - for those that have classes
        """Take ``args.class_weights`` into the loss; ``labels`` are those of the training split.

        Raises InvalidRequest for a label that is not there, or if there are weights and the task has no classes.
        """
        if args.class_weights is not None:
            raise InvalidRequest("class_weights are for tasks with one class to a text", param="training.class_weights")

    def first_logits(self, labels: np.ndarray) -> np.ndarray | None:  # noqa: ARG002
        """What a new last layer should answer before it has learned anything, ``[outputs]``; None: what it was drawn to.

        From the labels of the training split.
        """
        return None

    @abstractmethod
    def training_loss(self, logits: torch.Tensor, labels: torch.Tensor, *, args: TrainingSpec) -> torch.Tensor:
        """In float32, summed over the targets: the caller divides by those of its whole optimizer step."""

    @abstractmethod
    def mean_loss(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """One mean over the split, without what only helps training (such as label smoothing)."""

    @abstractmethod
    def predict(self, logits: np.ndarray) -> np.ndarray:
        """What the model answers, in the shape of ``labels``."""

    def for_metrics(self, answers: np.ndarray, *, offsets: np.ndarray) -> Any:  # noqa: ARG002
        """``answers`` (predictions or labels of a split) as the metrics take them; see ``Examples.label_offsets``."""
        return answers

    def references(self, examples: Examples) -> Any:
        """What is right, as the metrics take it."""
        return self.for_metrics(examples.labels, offsets=examples.label_offsets)

    @abstractmethod
    def compare(self, served: np.ndarray, trained: np.ndarray, *, precision: str) -> Comparison: ...

    @abstractmethod
    def guess(self, labels: np.ndarray) -> Any:
        """The best answer that looks at no text, from the labels of the training split; ``report`` scores it."""

    def mistakes(self, logits: np.ndarray, examples: Examples) -> Mistakes | None:  # noqa: ARG002
        """What the model gets wrong in a split, from its logits; None for tasks without one right answer."""
        return None

    @abstractmethod
    def report(self, logits: np.ndarray, labels: np.ndarray, *, offsets: np.ndarray, guess: Any) -> dict[str, Any]:
        """What the job's report tells of a split, beside its metrics. ``offsets``: ``Examples.label_offsets``."""
