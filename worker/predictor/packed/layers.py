"""Whole layers of BERT's kind in a dozen calls of torch.

A layer as transformers has it is as many modules, hooks and signatures; for one short text they take as long as the products.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from worker.packing.encoder import PackedEncoder
from worker.packing.last_layer import LastLayer
from worker.predictor.packed.attention import attend_jointly, attend_jointly_from_first
from worker.predictor.packed.linears import OutputBlock, PackedLinear, Projection


class Normed:
    """A norm without its module, which would be looked up and called."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        self._of = norm.normalized_shape, norm.weight, norm.bias, norm.eps

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.layer_norm(rows, *self._of)


class PostNormLayer(nn.Module):
    """Attention and feed-forward, each added to what it was given and normed. Its parts have the names that they had."""

    def __init__(self, layer: Any, encoder: PackedEncoder) -> None:
        super().__init__()
        self.attention, self.intermediate, self.output = layer.attention, layer.intermediate, layer.output
        # Methods and not modules, which are looked for after everything else.
        self._project, self._widen = _rows(layer.attention.self.key.joint.linear), _rows(layer.intermediate)
        self._reduce, self._narrow = _rows(layer.attention.output.dense), _rows(layer.output.dense)
        self._norm_attended, self._norm_all = Normed(layer.attention.output.LayerNorm), Normed(layer.output.LayerNorm)
        attention = layer.attention.self
        self._heads: int = attention.num_attention_heads
        self._scaling: float = attention.scaling
        self._encoder = encoder

    def forward(self, hidden_states: torch.Tensor, *_args: Any, **_options: Any) -> torch.Tensor:
        """``[1, rows, size]``; masks and positions are in the layout."""
        return self.rows(hidden_states[0])[None]

    def rows(self, flat: torch.Tensor) -> torch.Tensor:
        """The same without the dimension of batches."""
        joint = self._project(flat)
        attended = attend_jointly(joint, self._encoder.layout, heads=self._heads, scaling=self._scaling)
        return self._finished(attended, flat)

    def _finished(self, attended: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        flat = self._norm_attended(self._reduce(attended, given))
        return self._norm_all(self._narrow(self._widen(flat), flat))


class LastPostNormLayer(PostNormLayer):
    """The same for the first token of each example alone, see ``worker.packing.last_layer``."""

    def __init__(self, layer: Any, encoder: PackedEncoder) -> None:
        super().__init__(layer, encoder)
        self._ask = _rows(layer.attention.self.query)

    def forward(self, hidden_states: torch.Tensor, *_args: Any, **_options: Any) -> torch.Tensor:
        """``[1, examples, size]`` in the order of the batch."""
        return self.rows(hidden_states[0])[None, : len(self._encoder.layout.first)]

    def rows(self, flat: torch.Tensor) -> torch.Tensor:
        """``[layout.num_first_rows, size]``, whatever behind the examples."""
        layout = self._encoder.layout
        first = layout.take_first(flat)
        attended = attend_jointly_from_first(
            self._ask(first), self._project(flat), layout, heads=self._heads, scaling=self._scaling
        )
        return self._finished(attended, first)


def _rows(linear: PackedLinear) -> Callable[..., torch.Tensor]:
    return linear.rows


def joined_layers(model: nn.Module, encoder: PackedEncoder) -> Iterator[tuple[str, nn.Module, PostNormLayer]]:
    """Layers that may be such, with their names and what to put in their place, once their linear layers are packed.

    Whether they are, their answers tell.
    """
    for name, layer in model.named_modules():
        parts: Any = dict(layer.named_children())
        if parts.keys() != {"attention", "intermediate", "output"}:
            continue
        attention: Any = dict(parts["attention"].named_children())
        if (
            attention.keys() == {"self", "output"}
            and isinstance(getattr(attention["self"], "query", None), PackedLinear | Projection)
            and all(isinstance(getattr(attention["self"], part, None), Projection) for part in ("key", "value"))
            and all(hasattr(attention["self"], known) for known in ("num_attention_heads", "scaling"))
            and isinstance(attention["output"], OutputBlock)
            and isinstance(parts["intermediate"], PackedLinear)
            and isinstance(parts["output"], OutputBlock)
        ):
            kind = LastPostNormLayer if isinstance(layer, LastLayer) else PostNormLayer
            yield name, layer, kind(layer, encoder)
