"""Makes a transformers encoder with a head take packed tokens. Weights and their names stay what they were."""

import inspect
import itertools
from typing import Any, Literal

import torch
from torch import nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface

from worker.trainer.packed.attention import Sight, grouped_attention
from worker.trainer.packed.layout import Layout

HeadInput = Literal["first", "whole", "row"]
"""What the head is given: the first token of each example, which most heads read; all of each, padded; or the row as it is,
for heads that answer for every token."""

_numbers = itertools.count()


class CannotPackError(Exception):
    """The model is not built in a way that packing understands."""


class PackedEncoder:
    """Hooks at the edges of an encoder: attention by groups, positions that begin anew, examples unpacked for the head.

    ``set_layout`` before every forward; the forward then takes ``[1, rows]`` tensors and gives ``[examples, K]`` logits
    in the order of the batch, or ``[1, rows, K]``.
    """

    def __init__(self, model: PreTrainedModel, *, head: HeadInput) -> None:
        """Raises CannotPackError if the parts that must be hooked are not there."""
        self._head = head
        self._layout: Layout | None = None
        self._model = model
        self._attention_before: Any = model.config._attn_implementation  # noqa: SLF001 - has no public getter
        encoder: Any = model.base_model
        if encoder is model:
            raise CannotPackError("the model has no encoder of its own below its head")
        self._first_position = _first_position(encoder)
        self._hooks = [
            encoder.register_forward_pre_hook(self._before, with_kwargs=True),
            encoder.register_forward_hook(self._after),
        ]
        self._takes_positions = "position_ids" in inspect.signature(encoder.forward).parameters
        if not self._takes_positions:
            self._hooks.append(self._hook_embeddings(encoder))
        if getattr(encoder, "pooler", None) is not None:
            self._hooks.append(encoder.pooler.register_forward_pre_hook(self._before_pooler))
        name = f"tunery_packed_{next(_numbers)}"
        AttentionInterface.register(name, self._attend)
        AttentionMaskInterface.register(name, _no_mask)
        model.set_attn_implementation(name)

    def remove(self) -> None:
        """Make the model take padded batches again."""
        for hook in self._hooks:
            hook.remove()
        self._model.set_attn_implementation(self._attention_before)

    def set_layout(self, layout: Layout, *, positions: torch.Tensor) -> None:
        """Where the tokens of the next forward lie. ``positions``: ``[1, rows]``, from 0 within each example."""
        self._layout, self._positions = layout, positions + self._first_position

    def _hook_embeddings(self, encoder: Any) -> Any:
        embeddings = getattr(encoder, "embeddings", None)
        if embeddings is None or "position_ids" not in inspect.signature(embeddings.forward).parameters:
            raise CannotPackError("its positions cannot be given")

        def add_positions(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return args, kwargs | {"position_ids": self._positions}

        return embeddings.register_forward_pre_hook(add_positions, with_kwargs=True)

    def _before(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        kwargs = kwargs | {"attention_mask": None}
        return args, kwargs | {"position_ids": self._positions} if self._takes_positions else kwargs

    def _before_pooler(self, _module: nn.Module, args: tuple[Any, ...]) -> Any:
        return (self._unpack(args[0]), *args[1:])

    def _after(self, _module: nn.Module, _args: Any, output: Any) -> Any:
        output["last_hidden_state"] = self._unpack(output["last_hidden_state"])
        return output

    def _unpack(self, hidden: torch.Tensor) -> torch.Tensor:
        """What the head is given, ``[examples, 1 or longest, size]`` or the row, from ``[1, rows, size]``."""
        assert self._layout is not None, "set_layout comes first"
        if self._head == "row":
            return hidden
        if self._head == "whole":
            unpacked: torch.Tensor = _Unpack.apply(hidden, self._layout)  # type: ignore[no-untyped-call]
            return unpacked
        return hidden[0].index_select(0, self._layout.first)[:, None]

    def _attend(
        self,
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        _attention_mask: torch.Tensor | None,
        *,
        dropout: float = 0.0,
        scaling: float | None = None,
        sliding_window: int | None = None,
        is_causal: bool | None = None,
        **_options: Any,
    ) -> tuple[torch.Tensor, None]:
        if query.shape[2] != key.shape[2]:
            raise CannotPackError("it does not attend over one sequence")
        assert self._layout is not None, "set_layout comes first"
        query, key = (
            query.to(value.dtype),
            key.to(value.dtype),
        )  # rotary positions leave them in float32, as autocast does not
        shared = query.shape[1] // key.shape[1]
        attended = grouped_attention(
            query,
            key.repeat_interleave(shared, dim=1) if shared > 1 else key,
            value.repeat_interleave(shared, dim=1) if shared > 1 else value,
            self._layout,
            scaling=query.shape[-1] ** -0.5 if scaling is None else scaling,
            dropout=dropout,
            sight=Sight(
                window=sliding_window, causal=getattr(module, "is_causal", False) if is_causal is None else is_causal
            ),
        )
        return attended, None


class _Unpack(torch.autograd.Function):
    """Every example in a row of its own, zeros behind it."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, layout: Layout) -> torch.Tensor:
        place = torch.arange(int(layout.lengths.max()), device=hidden.device)
        ctx.is_token = place < layout.lengths[:, None]
        ctx.layout = layout
        out = hidden.new_zeros((*ctx.is_token.shape, hidden.shape[-1]))
        out[ctx.is_token] = hidden[0, : layout.num_tokens]
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        packed = grads[0].new_zeros((ctx.layout.num_rows, grads[0].shape[-1]))
        packed[: ctx.layout.num_tokens] = grads[0][ctx.is_token]
        return packed[None], None


def _first_position(encoder: Any) -> int:
    """RoBERTa and its kin number positions from behind the padding's."""
    embeddings = getattr(encoder, "embeddings", None)
    padding = getattr(embeddings, "padding_idx", None)
    return 0 if padding is None else int(padding) + 1


def _no_mask(*_args: Any, **_kwargs: Any) -> None:
    """Who sees whom is in the layout."""
