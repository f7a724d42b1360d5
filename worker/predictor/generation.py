"""A model that generates: prompts in, texts out, one token for each of them at a time."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final

import torch
from transformers import PreTrainedModel

from app.prediction.wire import Generated, Sampling
from worker.predictor.encoded import EncodedText
from worker.predictor.errors import PromptTooLongError
from worker.predictor.generating import RunningBatch
from worker.predictor.joint_forward import JointForward, try_out
from worker.predictor.one_by_one import OneByOne
from worker.predictor.writing import Language, Writing

NO_LIMIT: Final = 2**20
"""Of a model whose configuration names none."""
MAX_READ_TOKENS: Final = 1_024
"""Of prompts in one forward on a CPU, which all others wait for meanwhile."""
Batch = RunningBatch | OneByOne


class TextGenerator:
    """Begins texts, and makes the batches in which they are written."""

    def __init__(self, model: PreTrainedModel, tokenizer: Any, *, device: torch.device) -> None:
        self._device = device
        self._forward = JointForward(model, device=device)
        self._language = Language(
            tokenizer=tokenizer,
            ends=_end_tokens(model, tokenizer),
            special=frozenset(tokenizer.all_special_ids),
            limit=getattr(model.config, "max_position_embeddings", None) or NO_LIMIT,
        )

    def begin(self, encoded: Sequence[EncodedText], sampling: Sampling, *, streams: bool = False) -> list[Writing]:
        """A text behind each prompt, with nothing written. Raises PromptTooLongError for one that leaves no room."""
        limit = self._language.limit
        for index, item in enumerate(encoded):
            if item.num_tokens >= limit:
                raise PromptTooLongError(index=index, num_tokens=item.num_tokens, limit=limit)
        options: dict[str, Any] = {"language": self._language, "device": self._device, "streams": streams}
        return [Writing(item.input_ids, sampling, **options) for item in encoded]

    def new_batch(self, *, max_tokens: int = MAX_READ_TOKENS) -> Batch:
        """``max_tokens`` bounds what is read of prompts in one forward."""
        if self._bytes_per_token is None:
            return OneByOne(self._forward)
        if self._device.type == "cpu":
            max_tokens = min(max_tokens, MAX_READ_TOKENS)
        return RunningBatch(self._forward, bytes_per_token=self._bytes_per_token, max_tokens=max_tokens)

    def write(self, writings: Sequence[Writing], *, stopped: Callable[[], bool]) -> list[Generated]:
        """Write all to their ends. Once ``stopped`` is true those that have not ended are left out."""
        batch = self.new_batch()
        batch.add(writings)
        while not stopped() and not all(writing.is_over for writing in writings):
            batch.turn(max_bytes=2**62)
        for writing in writings:
            if writing.error is not None:
                raise writing.error
        return [writing.result() for writing in writings if writing.finish_reason is not None]

    def try_out(self) -> None:
        """Find out how the model can write; else that is done when it is first asked to."""
        _ = self._bytes_per_token

    @cached_property
    def _bytes_per_token(self) -> int | None:
        """None: the model cannot write texts in common."""
        return try_out(self._forward)


def _end_tokens(model: PreTrainedModel, tokenizer: Any) -> frozenset[int]:
    configured = getattr(model.generation_config, "eos_token_id", None)
    ids = configured if isinstance(configured, list) else [configured, tokenizer.eos_token_id]
    return frozenset(number for number in ids if number is not None)
