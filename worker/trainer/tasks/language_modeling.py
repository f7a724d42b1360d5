"""The next token."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import orjson
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, PretrainedConfig

from app.dataset.resolved import ResolvedData
from app.errors import InvalidData, InvalidRequest
from app.spec.base import ProblemType, PromptFormat
from app.spec.job import JobSpec
from app.spec.training import TrainingSpec
from app.spec.words import Span
from worker.predictor.encoded import EncodedText
from worker.predictor.engine import LoadedModel
from worker.predictor.prompts import PromptError, write_example
from worker.trainer.examples import Examples
from worker.trainer.language_tokens import tokenize_texts
from worker.trainer.tasks.task import Comparison, Task
from worker.trainer.tokens import Tokens

ROUNDING: Final = {"float32": 1e-3, "bfloat16": 5e-2}
"""Two ways to compute the loss of a token differ by no more, relative to it where it is above 1."""

_SHOWN: Final = 200
"""Characters of a row that an error shows."""


class LanguageModeling(Task):
    """Labels are the tokens that are learned, ``[tokens]`` int64: all of a text, or those of the answers.

    In torch, ``logits`` are those before each label, ``[labels of the batch, vocabulary]``. In numpy they are the engine's
    ``MEASURES`` of each label, ``[labels, (loss, correct)]``.
    """

    problem_type: ClassVar[ProblemType] = "language_modeling"
    auto_model: ClassVar[Any] = AutoModelForCausalLM
    has_head: ClassVar[bool] = False

    def __init__(self, data: ResolvedData) -> None:
        super().__init__(data)
        self._has_answers = data.label is not None
        self._format: PromptFormat = "plain"
        self._has_chats = False

    def configure(self, config: PretrainedConfig) -> None:
        """It has no outputs of its own."""

    def read(self, text: Any, label: Any) -> tuple[str, list[Span], Any]:
        """A text, a prompt or, as JSON, the messages of a chat; and the answer to it."""
        if not isinstance(text, str):
            self._has_chats = True
            messages = [{"role": m["role"], "content": m["content"]} for m in text]
            text = orjson.dumps({"messages": messages}).decode()
        return text, [], label

    def read_label(self, value: Any) -> Any:
        return value

    def stack(self, labels: Sequence[Any]) -> np.ndarray:
        """The answers, until tokens take their place."""
        stacked = np.empty(len(labels), dtype=object)
        stacked[:] = labels
        return stacked

    def settle(self, spec: JobSpec, *, tokenizer: Any, limit: int) -> JobSpec:  # noqa: ARG002
        chosen = spec.prompt_format
        if chosen is None or chosen == "auto":
            chosen = self._usual_format(tokenizer)
        if chosen == "chat" and tokenizer.chat_template is None:
            raise InvalidRequest(
                f"the tokenizer of {spec.model} has no chat template",
                param="prompt_format",
                code="no_chat_template",
                hint="Take a model that was tuned for chats, or prompts with answers in columns of their own.",
            )
        self._format = chosen
        return spec.model_copy(update={"prompt_format": chosen})

    def _usual_format(self, tokenizer: Any) -> PromptFormat:
        if self._has_chats or (self._has_answers and tokenizer.chat_template is not None):
            return "chat"
        return "instruction" if self._has_answers else "plain"

    def tokenize(self, tokenizer: Any, examples: Examples, *, max_length: int, cache_dir: Path) -> Tokens:  # noqa: ARG002
        written = []
        contexts: Sequence[str | None] = examples.pairs or [None] * len(examples)
        for text, context, answer in zip(examples.texts, contexts, examples.labels, strict=True):
            try:
                written.append(write_example(text, context, answer, prompt_format=self._format, tokenizer=tokenizer))
            except PromptError as error:
                message = f"A row {error}: {text[:_SHOWN]}"
                raise InvalidData(message, param="columns.text", code="invalid_messages") from error
        tokens = tokenize_texts(
            tokenizer,
            written,
            max_length=max_length,
            marks_end=self._format != "chat",
            in_blocks=not (self._has_answers or self._has_chats),
        )
        if tokens.labels is None or len(tokens.labels) == 0:
            raise InvalidData("no text has a token to learn", param="training.max_length", code="no_text")
        return tokens

    def encode(self, engine: LoadedModel, examples: Examples, tokens: Tokens) -> list[EncodedText]:  # noqa: ARG002
        assert tokens.words is not None
        assert tokens.labels is not None
        ids, before = tokens.columns["input_ids"], tokens.words.first_tokens
        found = []
        for number in range(len(tokens)):
            start, end = tokens.offsets[number : number + 2]
            first, behind = tokens.words.offsets[number : number + 2]
            found.append(
                EncodedText(
                    input_ids=ids[start:end].tolist(),
                    token_type_ids=None,
                    truncated=bool(tokens.truncated[number]),
                    first_tokens=before[first:behind].tolist(),
                    targets=tokens.labels[first:behind].tolist(),
                )
            )
        return found

    def training_loss(self, logits: torch.Tensor, labels: torch.Tensor, *, args: TrainingSpec) -> torch.Tensor:
        return functional.cross_entropy(
            logits.float(), labels, reduction="sum", label_smoothing=args.label_smoothing_factor
        )

    def mean_loss(self, logits: np.ndarray, labels: np.ndarray) -> float:  # noqa: ARG002
        return float(logits[:, 0].mean(dtype=np.float64))

    def scores(self, logits: np.ndarray) -> np.ndarray:
        return logits

    def predict(self, logits: np.ndarray) -> np.ndarray:
        return logits

    def compare(self, served: np.ndarray, trained: np.ndarray, *, precision: str) -> Comparison:
        allowed = ROUNDING[precision] * np.maximum(1, np.abs(trained[:, 0]))
        differing = np.flatnonzero(~(np.abs(served[:, 0] - trained[:, 0]) <= allowed))
        return Comparison(differing=differing, explained=np.stack([served[:, 0], trained[:, 1]], axis=-1))

    def guess(self, labels: np.ndarray) -> np.ndarray:
        """The logarithm of how frequent each token is, one more than it was met."""
        counts = np.bincount(labels).astype(np.float64) + 1
        log_rates: np.ndarray = np.log(counts / counts.sum())
        return log_rates

    def report(
        self, logits: np.ndarray, labels: np.ndarray, *, offsets: np.ndarray, guess: np.ndarray
    ) -> dict[str, Any]:
        known = labels[labels < len(guess)]
        losses = -np.concatenate([guess[known], np.full(len(labels) - len(known), guess.min())])
        return {
            "num_examples": len(offsets) - 1,
            "num_tokens": len(logits),
            "unigram_baseline": {"perplexity": float(np.exp(losses.mean()))},
        }
