"""A model of its task as it is served packed: proven on tokens of its own vocabulary, then put into bfloat16.

Nothing here asks which architecture it is: a model that answers packed what it answers padded, in float32, is packed.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from worker.packing.encoder import CannotPackError, HeadInput, PackedEncoder
from worker.predictor.encoded import EncodedText
from worker.predictor.outputs import logits_of
from worker.predictor.packed import lanes
from worker.predictor.packed.attention import attend, attend_from_first
from worker.predictor.packed.filling import fill, row_room
from worker.predictor.packed.kernels import put_kernels, replace
from worker.predictor.packed.layers import joined_layers
from worker.predictor.packed.layout import ROW_ROUNDING, lay_out
from worker.predictor.packed.linears import MOST_ROWS, STEPPED_ROWS
from worker.predictor.packed.whole import joined_model
from worker.predictor.parts import Part, Parts

_TOLERANCE: Final = 1e-4
"""Largest difference of a logit between packed and padded, both in float32, relative to the largest."""
_SAMPLE_LENGTHS: Final = (3, 21, 16, 40, 70)

Logits = Callable[..., torch.Tensor]
"""Of a row, by the names of a model's inputs."""


def packs(model: PreTrainedModel, *, pad_id: int, max_length: int) -> bool:
    """Whether a float32 model on a CPU, as transformers made it, gives packed what it gives padded."""
    hooked = _hook(model, pad_id=pad_id, max_length=max_length)
    if hooked is None:
        return False
    hooked.remove()
    return True


class PackedForward:
    """Computes with a model that it has changed for good. For any number of threads."""

    def __init__(self, model: PreTrainedModel, encoder: PackedEncoder, *, pad_id: int, max_length: int) -> None:
        self._model, self._encoder, self._pad_id = model, encoder, pad_id
        self._logits: Logits = _by_transformers(model)
        self._is_joined = False
        encoder.keep()
        self._takes_token_types = "token_type_ids" in inspect.signature(model.forward).parameters
        threads = torch.get_num_threads()
        with lanes.by_threads(1):
            self._linears = put_kernels(model, threads=threads)
        self._fills_short_rows = False
        if not all(linear.takes_short_rows for linear in self._linears):
            self._fill_short_rows()
        sample = _sample(model, pad_id=pad_id, max_length=max_length)
        with lanes.by_threads(1):
            self._join(sample)
            if not self._is_same_alone(sample):
                self._fill_short_rows()
        self.shares_products = self._is_same_together(sample)

    @classmethod
    def of(cls, model: PreTrainedModel, *, pad_id: int, max_length: int) -> "PackedForward | None":
        """Put ``model``, in float32, into bfloat16 but for the layer of its logits. None: it cannot be packed, and stays what it is."""
        encoder = _hook(model, pad_id=pad_id, max_length=max_length)
        return None if encoder is None else cls(model, encoder, pad_id=pad_id, max_length=max_length)

    def _fill_short_rows(self) -> None:
        self._fills_short_rows = True
        for linear in self._linears:
            linear.takes_short_rows = False

    def _join(self, ids: Sequence[Sequence[int]]) -> None:
        """Have whole layers computed at once, and then the whole model, each if that gives the same bits."""
        expected = self._with_types(ids)
        layers = [*joined_layers(self._model, self._encoder)]
        for name, _, joined in layers:
            replace(self._model, name, joined)
        if not self._gives(expected, ids):
            for name, layer, _ in layers:
                replace(self._model, name, layer)
        by_parts, joined_parts = self._logits, joined_model(self._model, self._encoder)
        if joined_parts is None:
            return
        self._logits, self._is_joined = joined_parts, True
        if not self._gives(expected, ids):
            self._logits, self._is_joined = by_parts, False

    def _gives(self, expected: Sequence[NDArray[np.float32]], ids: Sequence[Sequence[int]]) -> bool:
        try:
            return all(np.array_equal(a, b) for a, b in zip(self._with_types(ids), expected, strict=True))
        except Exception:  # noqa: BLE001 - whatever a model's own code makes of parts in other places
            return False

    def _with_types(self, ids: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """The answers to texts of one type of tokens, and to such of which the latter half is of the last that the model has."""
        last = max(0, getattr(self._model.config, "type_vocab_size", 1) - 1)
        single, paired = (
            [
                EncodedText(
                    input_ids=[*own],
                    token_type_ids=[0] * (len(own) // 2) + [kind] * (len(own) - len(own) // 2),
                    truncated=False,
                )
                for own in ids
            ]
            for kind in (0, last)
        )
        return [*self.outputs(single), *self.outputs(paired)]

    def _is_same_alone(self, ids: Sequence[Sequence[int]]) -> bool:
        """Whether texts have the bits by themselves, most of them in short rows, that they have among many others."""
        among = self._run([*ids, *[ids[0]] * (ROW_ROUNDING // 4)])
        return all(np.array_equal(self._run([own])[0], output) for own, output in zip(ids, among, strict=False))

    def _is_same_together(self, ids: Sequence[Sequence[int]]) -> bool:
        """Whether several threads on one batch give the bits of one thread."""
        for batch in (ids, ids[:1]):
            alone, shared = (self._run_by(count, batch) for count in (1, torch.get_num_threads()))
            if not all(np.array_equal(a, b) for a, b in zip(alone, shared, strict=True)):
                return False
        return True

    def _run_by(self, count: int, ids: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        with lanes.by_threads(count):
            return self._run(ids)

    @property
    def memory_bytes(self) -> int:
        """What the weights take."""
        tensors = [*self._model.parameters(), *self._model.buffers()]
        return sum(t.numel() * t.element_size() for t in tensors) + sum(part.memory_bytes for part in self._linears)

    @property
    def tokens_at_once(self) -> int:
        """What fills its threads."""
        return MOST_ROWS * torch.get_num_threads()

    @torch.no_grad()
    def take_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Replace all weights by those of a state dict of the model as it was."""
        for linear in self._linears:
            linear.put(weights)
        for name, tensor in self._model.state_dict().items():
            tensor.copy_(weights[name])

    def compute(self, function: Callable[[list[Part]], None], parts: Parts) -> None:
        """``function`` of all parts, as many at a time as go well through the model, in several threads."""
        batches = _MicroBatches(parts, fills_short_rows=self._fills_short_rows)
        lanes.compute(function, batches, shares_products=self.shares_products)

    def outputs(self, batch: Sequence[EncodedText]) -> list[NDArray[np.float32]]:
        """Of each input ``[K]``, or ``[tokens, K]`` where tokens have logits. The same whatever the others are."""
        types = self._types(batch)
        found = self._run([item.input_ids for item in batch], types)
        for number, output in enumerate(found):
            if not np.isfinite(output).all():
                own_types = None if types is None else types[number : number + 1]
                [found[number]] = self._run([batch[number].input_ids], own_types, is_careful=True)
        return found

    def _types(self, batch: Sequence[EncodedText]) -> list[list[int]] | None:
        if not self._takes_token_types or (self._is_joined and not any(map(_has_two_types, batch))):
            return None
        return [item.token_type_ids or [0] * item.num_tokens for item in batch]

    def _run(
        self,
        ids: Sequence[Sequence[int]],
        types: Sequence[Sequence[int]] | None = None,
        *,
        is_careful: bool = False,
    ) -> list[NDArray[np.float32]]:
        return _run(
            self._logits,
            self._encoder,
            ids,
            types,
            pad_id=self._pad_id,
            fills_short_rows=self._fills_short_rows,
            is_careful=is_careful,
        )


class _MicroBatches:
    """Parts by the rows that a lane takes at a time."""

    def __init__(self, parts: Parts, *, fills_short_rows: bool) -> None:
        self._parts, self._fills_short_rows = parts, fills_short_rows
        self.are_left, self.wait, self.wake = parts.are_left, parts.wait, parts.wake

    def take(self, num_free: int) -> list[Part] | None:
        def choose(lengths: Sequence[int]) -> list[int]:
            room = row_room(
                sum(lengths),
                stepped_rows=STEPPED_ROWS,
                max_rows=MOST_ROWS,
                num_free=num_free,
                fills_short_rows=self._fills_short_rows,
            )
            return fill(lengths, room)

        return self._parts.take(choose) or None


def _has_two_types(item: EncodedText) -> bool:
    return any(item.token_type_ids or ())


def _by_transformers(model: PreTrainedModel) -> Logits:
    return lambda **inputs: logits_of(model(**inputs))


@torch.inference_mode()
def _run(
    logits_of_row: Logits,
    encoder: PackedEncoder,
    ids: Sequence[Sequence[int]],
    types: Sequence[Sequence[int]] | None,
    *,
    pad_id: int,
    fills_short_rows: bool = True,
    is_careful: bool = False,
) -> list[NDArray[np.float32]]:
    layout = lay_out([len(own) for own in ids], fills_short_rows=fills_short_rows, is_careful=is_careful)
    encoder.set_layout(layout, positions=layout.positions())
    inputs = {"input_ids": layout.fill(ids, filler=pad_id)}
    if types is not None:
        inputs["token_type_ids"] = layout.fill(types, filler=0)
    if encoder.head == "whole":
        inputs["attention_mask"] = layout.mask()
    logits: NDArray[np.float32] = logits_of_row(**inputs).float().numpy()
    if encoder.head != "row":
        return [*logits]
    spans = zip(layout.starts, layout.lengths, strict=True)
    return [logits[0, start : start + length] for start, length in spans]


def _heads(model: PreTrainedModel) -> tuple[HeadInput, ...]:
    has_row = any(part in type(model).__name__ for part in ("TokenClassification", "QuestionAnswering"))
    return ("row",) if has_row else ("only first", "first", "whole")


def _hook(model: PreTrainedModel, *, pad_id: int, max_length: int) -> PackedEncoder | None:
    """Hooks under which the model answers as it does without, or None."""
    ids = _sample(model, pad_id=pad_id, max_length=max_length)
    expected = [_alone(model, own) for own in ids]
    largest = max(float(np.abs(output).max()) for output in expected)
    for head in _heads(model):
        try:
            encoder = PackedEncoder(
                model, head=head, attend=attend, attend_from_first=attend_from_first, by_thread=True
            )
        except (CannotPackError, ValueError, AttributeError):
            continue
        try:
            found = _run(_by_transformers(model), encoder, ids, None, pad_id=pad_id)
            differences = [np.abs(a - b).max() for a, b in zip(found, expected, strict=True) if a.shape == b.shape]
            if len(differences) == len(ids) and max(differences) <= _TOLERANCE * largest:
                return encoder
        except Exception:  # noqa: BLE001, S110 - whatever a model's own code makes of packed tensors: it is then served padded
            pass
        encoder.remove()
    return None


def _sample(model: PreTrainedModel, *, pad_id: int, max_length: int) -> list[list[int]]:
    chooser = np.random.default_rng(0)
    vocabulary = np.setdiff1d(np.arange(model.config.vocab_size), [pad_id])
    return [chooser.choice(vocabulary, min(length, max_length)).tolist() for length in _SAMPLE_LENGTHS]


@torch.inference_mode()
def _alone(model: PreTrainedModel, ids: list[int]) -> NDArray[np.float32]:
    """What an example has by itself, without any padding."""
    tensor = torch.tensor([ids])
    output: NDArray[np.float32] = logits_of(model(input_ids=tensor, attention_mask=torch.ones_like(tensor)))[0].numpy()
    return output
