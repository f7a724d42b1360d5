"""One forward for texts of unequal length, over a cache that they share; and whether a model can do that."""

import inspect
from collections.abc import Sequence
from typing import Any, Final

import structlog
import torch
from transformers import PreTrainedModel

from worker.predictor.kv_cache import RowsCache, joined

log = structlog.get_logger(__name__)

ERRORS: Final = (RuntimeError, MemoryError, ValueError, TypeError, IndexError)
"""What a forward may raise, for lack of memory or because of what is in it."""
TRIED: Final = (2, 5)
"""Lengths of the two texts with which a model is tried out."""
LARGEST_DIFFERENCE: Final = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.2}
"""Of a logit between a text alone and one beside another, in standard deviations of the logits."""


class JointForward:
    """A model's forward over rows that end at the same column."""

    def __init__(self, model: PreTrainedModel, *, device: torch.device) -> None:
        self.model: Any = model
        self.device = device
        accepted = inspect.signature(model.forward).parameters
        self._takes_positions = "position_ids" in accepted
        self._options: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}

    def __call__(self, ids: torch.Tensor, *, cache: RowsCache, lengths: Sequence[int], width: int) -> torch.Tensor:
        """Append the columns ``ids`` to ``cache``. Returns logits ``[rows, vocabulary]`` behind the last of them.

        ``lengths`` are the rows' numbers of tokens once ``width`` columns are read; what is left of them is padding.
        """
        num_columns = cache.num_columns + ids.shape[1]
        starts = torch.tensor([[width - length] for length in lengths], device=self.device)
        columns = torch.arange(num_columns, device=self.device)
        inputs: dict[str, Any] = {"attention_mask": (columns >= starts).long()}
        if self._takes_positions:
            inputs["position_ids"] = (columns[cache.num_columns :] - starts).clamp(min=0)
        outputs = self.model(
            input_ids=ids.to(self.device), past_key_values=cache, use_cache=True, **inputs, **self._options
        )
        logits: torch.Tensor = outputs.logits[:, -1]
        return logits

    def alone(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits ``[1, vocabulary]`` behind the one text ``ids`` ``[1, tokens]``, from all of it."""
        logits: torch.Tensor = self.model(input_ids=ids.to(self.device), use_cache=False, **self._options).logits[:, -1]
        return logits


def try_out(forward: JointForward) -> int | None:
    """What a token takes in the cache, in bytes; None where the model cannot take texts together.

    That is not read from a list of models but tried out: two texts of unequal length, one of which joins the other, must be
    answered as they are alone, to within what rounding explains.
    """
    name = type(forward.model).__name__
    try:
        difference, bytes_per_token = _compare(forward)
    except (*ERRORS, AttributeError, LookupError, AssertionError) as error:  # a cache of another kind is wanted
        log.info("texts are written one by one", model=name, reason=repr(error))
        return None
    if not difference <= LARGEST_DIFFERENCE[forward.model.dtype]:
        log.info("texts are written one by one", model=name, difference=difference)
        return None
    return bytes_per_token


@torch.inference_mode()
def _compare(forward: JointForward) -> tuple[float, int]:
    """The largest difference of a logit in standard deviations, and what a token takes in the cache."""
    vocabulary = int(forward.model.config.get_text_config().vocab_size)
    texts = [torch.arange(1, length + 3).mul(7).remainder(vocabulary)[None] for length in TRIED]
    alone = torch.cat([forward.alone(text) for text in texts]).float()
    caches = [RowsCache() for _ in texts]
    for text, cache, length in zip(texts, caches, TRIED, strict=True):
        forward(text[:, :length], cache=cache, lengths=[length], width=length)
    width = max(TRIED)
    cache = joined([(part, [0]) for part in caches], width=width)
    together = alone
    for step in range(1, 3):
        newest = torch.cat(
            [text[:, length + step - 1 : length + step] for text, length in zip(texts, TRIED, strict=True)]
        )
        lengths = [length + step for length in TRIED]
        together = forward(newest, cache=cache, lengths=lengths, width=width + step).float()
    if cache.num_columns != width + 2:
        raise ValueError("the model does not use the cache that it is given")
    spread = float(alone.std()) or 1.0
    return float((together - alone).abs().max()) / spread, cache.bytes_per_token
