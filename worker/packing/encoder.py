"""Makes a transformers encoder with a head take packed tokens. Weights and their names stay what they were."""

import inspect
import itertools
import threading
import weakref
from types import SimpleNamespace
from typing import Any, Literal, Protocol

import torch
from torch import nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface

from worker.packing.last_layer import LastLayer, find_last_layer
from worker.packing.sight import EVERYTHING, Sight

HeadInput = Literal["only first", "first", "whole", "row"]
"""What the head is given: the first token of each example, which most heads read, and the last layer makes nothing else or all;
all tokens of each, padded; or the row as it is, for heads that answer for every token."""

_numbers = itertools.count()


class Layout(Protocol):
    """Where the tokens of a batch lie."""

    @property
    def first(self) -> torch.Tensor:
        """``[examples]``: number in the row of the first token of each example."""

    def unpack(self, hidden: torch.Tensor) -> torch.Tensor:
        """``[examples, longest, size]`` from ``[1, rows, size]``, zeros behind each example."""


class Attend(Protocol):
    """Attention over packed tokens, each example's to its own: ``[1, heads, rows, size]`` to ``[1, rows, heads, size]``.

    Or that of the first token of each alone, where there are as many queries as examples: to ``[1, examples, heads, size]``.
    """

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        layout: Any,
        *,
        scaling: float,
        dropout: float,
        sight: Sight,
    ) -> torch.Tensor: ...


class CannotPackError(Exception):
    """The model is not built in a way that packing understands."""


class PackedEncoder:
    """Hooks at the edges of an encoder: attention by groups, positions that begin anew, examples unpacked for the head.

    ``set_layout`` before every forward; the forward then takes ``[1, rows]`` tensors and gives ``[examples, K]`` logits
    in the order of the batch, or ``[1, rows, K]``.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        head: HeadInput,
        attend: Attend,
        attend_from_first: Attend,
        by_thread: bool = False,
    ) -> None:
        """``by_thread``: several threads may compute at a time, each with a layout of its own.

        Raises CannotPackError if the parts that must be hooked are not there.
        """
        self.head = head
        self._attend_over, self._attend_from_first = attend, attend_from_first
        self._now: Any = threading.local() if by_thread else SimpleNamespace()
        self._model = weakref.ref(model)  # which its hooks keep this alive with: no circle
        self._attention_before: Any = model.config._attn_implementation  # noqa: SLF001 - has no public getter
        encoder: Any = model.base_model
        if encoder is model:
            raise CannotPackError("the model has no encoder of its own below its head")
        last_layer = find_last_layer(encoder)
        if head == "only first" and last_layer is None:
            raise CannotPackError("its last layer is of no known kind")
        self._first_position = _first_position(encoder)
        self._takes_positions = "position_ids" in inspect.signature(encoder.forward).parameters
        self._hooks = [] if self._takes_positions else [self._hook_embeddings(encoder)]
        self._hooks += [
            encoder.register_forward_pre_hook(self._before, with_kwargs=True),
            encoder.register_forward_hook(self._after),
        ]
        if getattr(encoder, "pooler", None) is not None:
            self._hooks.append(encoder.pooler.register_forward_pre_hook(self._before_pooler))
        name = f"tunery_packed_{next(_numbers)}"
        # The registries never forget, so they must not hold a model.
        AttentionInterface.register(name, _through(weakref.WeakMethod(self._attend)))
        AttentionMaskInterface.register(name, _no_mask)
        model.set_attn_implementation(name)
        self._replaced: tuple[str, nn.Module] | None = None
        if head == "only first" and last_layer is not None:
            name, kind = last_layer
            self._replaced = name, encoder.get_submodule(name)
            encoder.set_submodule(name, LastLayer(self._replaced[1], kind, self))

    def remove(self) -> None:
        """Make the model take padded batches again."""
        for hook in self._hooks:
            hook.remove()
        if (model := self._model()) is not None:
            model.set_attn_implementation(self._attention_before)
            if self._replaced is not None:
                model.base_model.set_submodule(*self._replaced)

    def keep(self) -> None:
        """Forget the layer that was replaced, for a model that is to stay packed: parts of it may be replaced in their turn.

        One weight of it that nobody needs any more would hold all of the file in memory that it was read from.
        """
        self._replaced = None

    def set_layout(self, layout: Layout, *, positions: torch.Tensor) -> None:
        """Where the tokens of the next forward lie. ``positions``: ``[1, rows]``, from 0 within each example."""
        self._now.layout, self._now.positions = layout, positions + self._first_position

    @property
    def layout(self) -> Any:
        """That of the forward that is being made."""
        return self._now.layout

    @property
    def positions(self) -> torch.Tensor:
        """``[1, rows]``: those of its tokens, as the model numbers them."""
        positions: torch.Tensor = self._now.positions
        return positions

    def _hook_embeddings(self, encoder: Any) -> Any:
        embeddings = getattr(encoder, "embeddings", None)
        if embeddings is None or "position_ids" not in inspect.signature(embeddings.forward).parameters:
            raise CannotPackError("its positions cannot be given")

        def add_positions(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return args, kwargs | {"position_ids": self._now.positions}

        return embeddings.register_forward_pre_hook(add_positions, with_kwargs=True)

    def _before(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        kwargs = kwargs | {"attention_mask": None}
        return args, kwargs | {"position_ids": self._now.positions} if self._takes_positions else kwargs

    def _before_pooler(self, _module: nn.Module, args: tuple[Any, ...]) -> Any:
        return (self._for_head(args[0]), *args[1:])

    def _after(self, _module: nn.Module, _args: Any, output: Any) -> Any:
        output["last_hidden_state"] = self._for_head(output["last_hidden_state"])
        return output

    def _for_head(self, hidden: torch.Tensor) -> torch.Tensor:
        """What the head is given, ``[examples, 1 or longest, size]`` or the row, of what the last layer made."""
        layout: Layout = self.layout
        if self.head == "row":
            return hidden
        if self.head == "whole":
            return layout.unpack(hidden)
        if self.head == "only first":
            return hidden[0][:, None]
        return hidden[0].index_select(0, layout.first)[:, None]

    def attend_from_first(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, scaling: float, dropout: float
    ) -> torch.Tensor:
        """For the last layer: ``[1, examples, heads, size]`` of a query an example, ``[1, heads, examples, size]``."""
        return self._attend_from_first(
            query, key, value, self.layout, scaling=scaling, dropout=dropout, sight=EVERYTHING
        )

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
        # Rotary positions leave them in float32, as autocast does not.
        query, key = query.to(value.dtype), key.to(value.dtype)
        shared = query.shape[1] // key.shape[1]
        attended = self._attend_over(
            query,
            key.repeat_interleave(shared, dim=1) if shared > 1 else key,
            value.repeat_interleave(shared, dim=1) if shared > 1 else value,
            self.layout,
            scaling=query.shape[-1] ** -0.5 if scaling is None else scaling,
            dropout=dropout,
            sight=Sight(
                window=sliding_window, causal=getattr(module, "is_causal", False) if is_causal is None else is_causal
            ),
        )
        return attended, None


def _first_position(encoder: Any) -> int:
    """RoBERTa and its kin number positions from behind the padding's."""
    embeddings = getattr(encoder, "embeddings", None)
    padding = getattr(embeddings, "padding_idx", None)
    return 0 if padding is None else int(padding) + 1


def _through(method: weakref.WeakMethod[Any]) -> Any:
    def attend(*args: Any, **options: Any) -> Any:
        found = method()
        assert found is not None, "who computes has a model"
        return found(*args, **options)

    return attend


def _no_mask(*_args: Any, **_kwargs: Any) -> None:
    """Who sees whom is in the layout."""
