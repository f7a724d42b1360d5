"""Keys and values of texts of unequal length in one tensor a layer, which texts may join and leave between two tokens.

Every text is a row, and all rows end at the same column: the next token of each goes into the next column, and what a shorter
text lacks is padding on its left, which the attention mask hides. Layers with a sliding window keep all columns here, and their
mask hides what lies behind the window; the distance of two columns is that of their tokens.
"""

from collections.abc import Sequence
from typing import Any, Final

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM: Final = 32
"""Buffers have a multiple of so many columns, and a quarter more than they need: one token more seldom moves them."""


class RowsLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # by transformers' __init_subclass__
    """One layer's keys and values, ``[rows, heads, columns, size]``, in buffers with room for more columns."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self.num_columns = 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append columns. Returns views of all there are."""
        start, end = self.num_columns, self.num_columns + key_states.shape[2]
        self.keys = _with_room(self.keys, key_states, used=start, needed=end)
        self.values = _with_room(self.values, value_states, used=start, needed=end)
        self.keys[:, :, start:end] = key_states
        self.values[:, :, start:end] = value_states
        self.num_columns, self.is_initialized = end, True
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self, *_args: Any) -> int:
        return self.num_columns


class RowsCache(DynamicCache):
    """The cache of a batch whose rows end together. Layers appear as the model first writes to them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer_class_to_replicate = RowsLayer

    @property
    def num_columns(self) -> int:
        return int(self.get_seq_length())

    @property
    def rows_layers(self) -> list[RowsLayer]:
        return [layer for layer in self.layers if isinstance(layer, RowsLayer)]

    @property
    def bytes_per_token(self) -> int:
        """Of one row and column, all layers together."""
        tensors = [tensor for layer in self.rows_layers for tensor in (layer.keys, layer.values) if tensor is not None]
        return sum(int(tensor.shape[1] * tensor.shape[3]) * tensor.element_size() for tensor in tensors)


def joined(parts: Sequence[tuple[RowsCache, Sequence[int]]], *, width: int) -> RowsCache:
    """The rows named of each cache, one part below the other, as they are in its last ``width`` columns."""
    cache = RowsCache()
    rows = [rows for _, rows in parts]
    for layers in zip(*(part.rows_layers for part, _ in parts), strict=True):
        layer = RowsLayer()
        if layers[0].is_initialized:  # a layer that shares another's keys has none
            columns = [source.num_columns for source in layers]
            layer.keys = _joined([source.keys for source in layers], columns, rows, width=width)
            layer.values = _joined([source.values for source in layers], columns, rows, width=width)
            layer.num_columns, layer.is_initialized = width, True
        cache.layers.append(layer)
    return cache


def _joined(
    tensors: Sequence[torch.Tensor | None], columns: Sequence[int], rows: Sequence[Sequence[int]], *, width: int
) -> torch.Tensor:
    filled = [tensor for tensor in tensors if tensor is not None]
    like = filled[0]
    result = like.new_empty((sum(map(len, rows)), like.shape[1], _room(width), like.shape[3]))
    top = 0
    for tensor, num_columns, chosen in zip(filled, columns, rows, strict=True):
        bottom, taken = top + len(chosen), min(width, num_columns)
        index = torch.tensor(chosen, device=tensor.device)
        result[top:bottom, :, : width - taken] = 0  # hidden by the mask, but it must be a number: 0 times NaN is NaN
        result[top:bottom, :, width - taken : width] = tensor[:, :, num_columns - taken : num_columns][index]
        top = bottom
    return result


def _with_room(buffer: torch.Tensor | None, states: torch.Tensor, *, used: int, needed: int) -> torch.Tensor:
    if buffer is not None and buffer.shape[2] >= needed:
        return buffer
    rows, heads, _, size = states.shape
    larger = states.new_empty((rows, heads, _room(needed), size))
    if buffer is not None:
        larger[:, :, :used] = buffer[:, :, :used]
    return larger


def _room(columns: int) -> int:
    return -(-(columns + columns // 4) // ROOM) * ROOM
