"""Generating text behind prompts: all of one request together, padded on the left."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from transformers import PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from app.prediction.wire import Generated, Sampling
from worker.predictor.encoded import EncodedText
from worker.predictor.errors import PromptTooLongError

NO_LIMIT: Final = 2**20
"""Of a model whose configuration names none."""


class _Ends(StoppingCriteria):
    """Ends all texts once ``stopped`` is true, and one in whose end a text of ``stop`` comes up."""

    def __init__(self, tokenizer: Any, *, stop: Sequence[str], width: int, stopped: Callable[[], bool]) -> None:
        self._tokenizer, self._stop, self._width, self._stopped = tokenizer, stop, width, stopped
        self._looked_at = max(map(len, stop), default=0) + 1  # a token has a character at least, but for special ones

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_options: Any) -> torch.Tensor:  # noqa: ARG002
        ended = [self._stopped() or self._stops(row) for row in input_ids[:, self._width :].tolist()]
        return torch.tensor(ended, dtype=torch.bool, device=input_ids.device)

    def _stops(self, tokens: list[int]) -> bool:
        if not self._stop:
            return False
        text = self._tokenizer.decode(tokens[-self._looked_at :], skip_special_tokens=True)
        return any(stop in text for stop in self._stop)


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    tokenizer: Any,
    encoded: Sequence[EncodedText],
    sampling: Sampling,
    *,
    device: torch.device,
    stopped: Callable[[], bool],
) -> list[Generated]:
    """What comes behind each prompt, without special tokens and without the text that stopped it."""
    limit = getattr(model.config, "max_position_embeddings", None) or NO_LIMIT
    for index, item in enumerate(encoded):
        if item.num_tokens >= limit:
            raise PromptTooLongError(index=index, num_tokens=item.num_tokens, limit=limit)
    width = max(item.num_tokens for item in encoded)
    ids = torch.full((len(encoded), width), tokenizer.pad_token_id, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, item in enumerate(encoded):
        ids[row, width - item.num_tokens :] = torch.tensor(item.input_ids)
        mask[row, width - item.num_tokens :] = 1
    options: dict[str, Any] = {"do_sample": sampling.do_sample, "repetition_penalty": sampling.repetition_penalty}
    if sampling.do_sample:
        options |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
        if sampling.seed is not None:
            torch.manual_seed(sampling.seed)
        else:
            torch.seed()
    ending = _Ends(tokenizer, stop=sampling.stop, width=width, stopped=stopped)
    made: Any = model
    written = made.generate(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        max_new_tokens=min(sampling.max_new_tokens, limit - width),
        pad_token_id=tokenizer.pad_token_id,
        stopping_criteria=StoppingCriteriaList([ending]),
        use_cache=True,
        **options,
    )
    ends = _end_tokens(model, tokenizer)
    return [_read(row[width:].tolist(), tokenizer, ends=ends, stop=sampling.stop) for row in written]


def _end_tokens(model: PreTrainedModel, tokenizer: Any) -> set[int]:
    configured = getattr(model.generation_config, "eos_token_id", None)
    ids = configured if isinstance(configured, list) else [configured, tokenizer.eos_token_id]
    return {number for number in ids if number is not None}


def _read(tokens: list[int], tokenizer: Any, *, ends: set[int], stop: Sequence[str]) -> Generated:
    end = next((place for place, token in enumerate(tokens) if token in ends), None)
    kept = tokens if end is None else tokens[:end]
    text = tokenizer.decode(kept, skip_special_tokens=True)
    places = [place for place in map(text.find, stop) if place >= 0]
    if places:
        text = text[: min(places)]
    num_tokens = len(kept) if end is None else end + 1
    return Generated(text=text, num_tokens=num_tokens, finish_reason="length" if end is None and not places else "stop")
