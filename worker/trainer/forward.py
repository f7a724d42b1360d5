"""How the examples of a micro-batch go through the model: packed where the model can, else padded in length groups.

Both ways see the same examples and give the same logits up to rounding, so a job's recipe does not depend on which it is.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from worker.packing.encoder import CannotPackError, HeadInput, PackedEncoder
from worker.predictor.encoder_decoder import NO_TARGET, decoder_inputs, padded
from worker.predictor.outputs import logits_of
from worker.trainer.packed import kernels
from worker.trainer.packed.attention import attention_from_first, grouped_attention
from worker.trainer.packed.layout import Layout, cut, lay_out
from worker.trainer.padding import Padding
from worker.trainer.tokens import Tokens

FORWARD_COST: Final = 400
"""Places of padding that are cheaper than one more forward of a small group."""
TOLERANCE: Final = 1e-3
"""Largest difference of a logit between the packed and the padded forward, both in float32, relative to the largest."""
CHECKED_EXAMPLES: Final = 4


class Forward(Protocol):
    """``collate`` makes a micro-batch, on the CPU; a call gives its logits ``[targets, K]`` in the order of ``indices``.

    A target is an example, or where words have labels each word that a token stands for.
    """

    def collate(self, tokens: Tokens, indices: np.ndarray) -> Any: ...

    def __call__(self, model: nn.Module, inputs: Any, *, device: torch.device) -> torch.Tensor: ...


@dataclass(frozen=True, kw_only=True)
class PaddedInputs:
    parts: list[dict[str, torch.Tensor]]
    back: torch.Tensor
    """``[targets]``: where each one's logits are among those of the parts, all places of one after those of the other."""


class PaddedForward:
    """A batch is cut into groups of like length, and each is padded and computed for itself."""

    def __init__(self, padding: Padding, *, forward_cost: int = FORWARD_COST) -> None:
        self._padding, self._cost = padding, forward_cost

    def collate(self, tokens: Tokens, indices: np.ndarray) -> PaddedInputs:
        order = np.argsort(tokens.lengths[indices], kind="stable")
        groups = cut(tokens.lengths[indices][order], cost=self._cost)
        parts = [self._padding.batch(tokens, indices[order[begin:end]]) for begin, end in groups]
        back = np.argsort(order)
        if tokens.words is not None:
            seen = tokens.words.seen(indices)
            starts, num_places = np.empty(len(indices), dtype=np.int64), 0
            for (begin, end), part in zip(groups, parts, strict=True):
                width = part["input_ids"].shape[1]
                skipped = width - tokens.lengths[indices[order[begin:end]]] if self._padding.left else 0
                starts[order[begin:end]] = num_places + np.arange(end - begin) * width + skipped
                num_places += (end - begin) * width
            back = starts[seen.examples] + seen.tokens
        return PaddedInputs(parts=parts, back=torch.from_numpy(back))

    def __call__(self, model: nn.Module, inputs: PaddedInputs, *, device: torch.device) -> torch.Tensor:
        logits = [logits_of(model(**_on(part, device), **_without_cache(model))) for part in inputs.parts]
        return torch.cat([part.flatten(0, -2) for part in logits])[inputs.back.to(device)]


class EncoderDecoderForward(PaddedForward):
    """Sources in groups of like length; the decoder is given each answer, moved one place on, and has a logit row for each token.

    Both sides are padded on the right, as the model is served.
    """

    def __init__(self, padding: Padding, *, model: PreTrainedModel, forward_cost: int = FORWARD_COST) -> None:
        super().__init__(replace(padding, left=False), forward_cost=forward_cost)
        self._model = model

    def collate(self, tokens: Tokens, indices: np.ndarray) -> PaddedInputs:
        assert tokens.words is not None
        assert tokens.labels is not None
        order = np.argsort(tokens.lengths[indices], kind="stable")
        starts, num_places, parts = np.empty(len(indices), dtype=np.int64), 0, []
        for begin, end in cut(tokens.lengths[indices][order], cost=self._cost):
            chosen = indices[order[begin:end]]
            spans = zip(tokens.words.offsets[chosen], tokens.words.offsets[chosen + 1], strict=True)
            labels = padded([tokens.labels[first:behind] for first, behind in spans], filler=NO_TARGET)
            part = self._padding.batch(tokens, chosen)
            parts.append(part | {"decoder_input_ids": decoder_inputs(self._model, labels)})
            starts[order[begin:end]] = num_places + np.arange(end - begin) * labels.shape[1]
            num_places += labels.numel()
        seen = tokens.words.seen(indices)
        return PaddedInputs(parts=parts, back=torch.from_numpy(starts[seen.examples] + seen.tokens))


@dataclass(frozen=True, kw_only=True)
class PackedInputs:
    tensors: dict[str, torch.Tensor]
    positions: torch.Tensor
    layout: Layout
    targets: torch.Tensor | None
    """``[targets]``: the rows of the words, where it is they that have logits."""


class PackedForward:
    """No padding but in attention, where it makes the lengths within a group equal. See ``worker.trainer.packed``."""

    def __init__(self, encoder: PackedEncoder, padding: Padding, *, head: HeadInput) -> None:
        self._encoder, self._padding, self._head = encoder, padding, head

    def collate(self, tokens: Tokens, indices: np.ndarray) -> PackedInputs:
        lengths = tokens.lengths[indices]
        layout = lay_out(lengths)
        source = tokens.places_of(indices)

        def row_of(values: np.ndarray, filler: int) -> torch.Tensor:
            row = np.full(layout.num_rows, filler, dtype=np.int64)
            row[: layout.num_tokens] = values
            return torch.from_numpy(row)[None]

        tensors = {name: row_of(flat[source], self._padding.fillers[name]) for name, flat in tokens.columns.items()}
        if self._head == "whole":
            mask = np.arange(lengths.max()) < lengths[:, None]
            tensors["attention_mask"] = torch.from_numpy(mask.astype(np.int64))
        positions = np.arange(layout.num_tokens) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        targets = None
        if tokens.words is not None:
            seen = tokens.words.seen(indices)
            targets = torch.from_numpy((np.cumsum(lengths) - lengths)[seen.examples] + seen.tokens)
        return PackedInputs(tensors=tensors, positions=row_of(positions, 0), layout=layout, targets=targets)

    def __call__(self, model: nn.Module, inputs: PackedInputs, *, device: torch.device) -> torch.Tensor:
        self._encoder.set_layout(inputs.layout.to(device), positions=inputs.positions.to(device))
        logits = logits_of(model(**_on(inputs.tensors, device), **_without_cache(model)))
        return logits if inputs.targets is None else logits[0].index_select(0, inputs.targets.to(device))


def choose_forward(
    model: PreTrainedModel,
    tokens: Tokens,
    *,
    padding: Padding,
    bf16: bool,
    device: torch.device | None = None,
    forward_cost: int = FORWARD_COST,
) -> tuple[Forward, str]:
    """The fastest forward that gives this model's logits, and in words which it is.

    A model is packed if it can be hooked and answers the same on a few examples of the training split (``tokens``). ``device``
    is where it will be trained, if not where it is; ``bf16``: with linear layers of our own there, if it is a CPU.
    ``forward_cost``: places of padding that are cheaper than one more forward.
    """
    if model.config.is_encoder_decoder:
        how = "with padding, in groups of like length (encoder-decoders are not packed)"
        return EncoderDecoderForward(padding, model=model, forward_cost=forward_cost), how
    sample = _sample(tokens.lengths)
    was_training = model.training
    model.eval()  # type: ignore[no-untyped-call]
    try:
        with torch.no_grad():
            expected = _padded_logits(model, tokens, sample, padding)
            heads: tuple[HeadInput, ...] = ("only first", "first", "whole") if tokens.words is None else ("row",)
            for head in heads:
                forward = _packed(model, tokens, sample, padding, head=head, expected=expected)
                if forward is not None:
                    if (device or next(model.parameters()).device).type == "cpu":
                        put_kernels(model, bf16=bf16)
                    how = "without padding"
                    if head == "only first":
                        how += ", in the last layer for the first tokens alone, which is all that the head reads"
                    return PackedForward(forward, padding, head=head), how
    finally:
        model.train(was_training)
    return PaddedForward(
        padding, forward_cost=forward_cost
    ), "with padding, in groups of like length (this model cannot be packed)"


def _packed(
    model: PreTrainedModel,
    tokens: Tokens,
    sample: np.ndarray,
    padding: Padding,
    *,
    head: HeadInput,
    expected: torch.Tensor,
) -> PackedEncoder | None:
    try:
        encoder = PackedEncoder(model, head=head, attend=grouped_attention, attend_from_first=attention_from_first)
    except (CannotPackError, ValueError, AttributeError):
        return None
    try:
        forward = PackedForward(encoder, padding, head=head)
        found = forward(model, forward.collate(tokens, sample), device=expected.device)
    except Exception:  # noqa: BLE001 - whatever a model's own code makes of packed tensors: it is then trained with padding
        found = None
    if found is not None and found.shape == expected.shape and len(expected):
        largest = max(1.0, float(expected.abs().max()))
        if float((found - expected).abs().max()) <= TOLERANCE * largest:
            return encoder
    encoder.remove()
    return None


def put_kernels(model: PreTrainedModel, *, bf16: bool) -> None:
    kernels.use_lanes(model)
    if bf16:
        kernels.use_bfloat16(model.base_model)


def _padded_logits(model: PreTrainedModel, tokens: Tokens, sample: np.ndarray, padding: Padding) -> torch.Tensor:
    device = next(model.parameters()).device
    forward = PaddedForward(padding)
    return forward(model, forward.collate(tokens, sample), device=device)


def _without_cache(model: Any) -> dict[str, bool]:
    """Models that generate keep what they have read for tokens to come, unless they are told that there are none."""
    return {"use_cache": False} if getattr(model, "can_generate", bool)() else {}


def _sample(lengths: np.ndarray) -> np.ndarray:
    """Numbers of a few examples, from the shortest to the longest."""
    places = np.linspace(0, len(lengths) - 1, min(CHECKED_EXAMPLES, len(lengths))).astype(np.int64)
    sample: np.ndarray = np.argsort(lengths, kind="stable")[places]
    return sample


def _on(tensors: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}
