"""Writing answers with an encoder-decoder: those of one request together."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from transformers import GenerationConfig, PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from app.prediction.wire import Generated, Sampling
from worker.predictor.encoded import EncodedText
from worker.predictor.encoder_decoder import most_written, read_sources, start_token

_KEPT: Final = ("bos_token_id", "eos_token_id", "forced_bos_token_id", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens")  # fmt: skip
"""Of a base model's own settings, those that say which tokens there are. The others (beams, lengths, no repetition) are of what it
was made for, such as news in three sentences; here a text is generated as the request says, and as evaluation does it."""


class _Ends(StoppingCriteria):
    """Ends all answers once ``stopped`` is true, and one in whose end a text of ``stop`` comes up."""

    def __init__(self, tokenizer: Any, *, stop: Sequence[str], stopped: Callable[[], bool]) -> None:
        self._tokenizer, self._stop, self._stopped = tokenizer, stop, stopped
        self._looked_at = max(map(len, stop), default=0) + 1  # a token has a character at least, but for special ones

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_options: Any) -> torch.Tensor:  # noqa: ARG002
        ended = [self._stopped() or self._stops(row) for row in input_ids[:, 1:].tolist()]
        return torch.tensor(ended, dtype=torch.bool, device=input_ids.device)

    def _stops(self, tokens: list[int]) -> bool:
        if not self._stop:
            return False
        text = self._tokenizer.decode(tokens[-self._looked_at :], skip_special_tokens=True)
        return any(stop in text for stop in self._stop)


@torch.inference_mode()
def write_answers(
    model: PreTrainedModel,
    tokenizer: Any,
    encoded: Sequence[EncodedText],
    sampling: Sampling,
    *,
    device: torch.device,
    stopped: Callable[[], bool],
) -> list[Generated]:
    """The answer to each source, without special tokens and without the text that stopped it."""
    made: Any = model
    configured = getattr(made.generation_config, "eos_token_id", None)
    ends = {*(configured if isinstance(configured, list) else [configured]), tokenizer.eos_token_id} - {None}
    kept = {name: getattr(made.generation_config, name, None) for name in _KEPT}
    made.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        **{name: value for name, value in kept.items() if value is not None}
    )
    options: dict[str, Any] = {"do_sample": sampling.do_sample, "repetition_penalty": sampling.repetition_penalty}
    if sampling.do_sample:
        options |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
        if sampling.seed is not None:
            torch.manual_seed(sampling.seed)
        else:
            torch.seed()
    ending = _Ends(tokenizer, stop=sampling.stop, stopped=stopped)
    written = made.generate(
        **read_sources(encoded, pad_id=tokenizer.pad_token_id, device=device),
        max_new_tokens=min(sampling.max_new_tokens, most_written(model.config)),
        decoder_start_token_id=start_token(model, tokenizer),
        eos_token_id=sorted(ends),
        pad_token_id=tokenizer.pad_token_id,
        stopping_criteria=StoppingCriteriaList([ending]),
        use_cache=True,
        **options,
    )
    return [_read(row[1:].tolist(), tokenizer, ends=ends, stop=sampling.stop) for row in written]


def _read(tokens: list[int], tokenizer: Any, *, ends: set[Any], stop: Sequence[str]) -> Generated:
    end = next((place for place, token in enumerate(tokens) if token in ends), None)
    kept = tokens if end is None else tokens[:end]
    text = tokenizer.decode(kept, skip_special_tokens=True)
    places = [place for place in map(text.find, stop) if place >= 0]
    if places:
        text = text[: min(places)]
    num_tokens = len(kept) if end is None else end + 1
    return Generated(text=text, num_tokens=num_tokens, finish_reason="length" if end is None and not places else "stop")
