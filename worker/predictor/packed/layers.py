"""Whole layers of BERT's kind in a dozen calls of torch.

A layer as transformers has it is as many modules, hooks and signatures; for one short text they take as long as the products.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from worker.packing.encoder import PackedEncoder
from worker.predictor.packed.attention import attend_jointly
from worker.predictor.packed.linears import OutputBlock, PackedLinear, Projection


class PostNormLayer(nn.Module):
    """Attention and feed-forward, each added to what it was given and normed. Its parts have the names that they had."""

    def __init__(self, layer: Any, encoder: PackedEncoder) -> None:
        super().__init__()
        self.attention, self.intermediate, self.output = layer.attention, layer.intermediate, layer.output
        attention = layer.attention.self
        self._projections: PackedLinear = attention.query.joint.linear
        self._heads: int = attention.num_attention_heads
        self._scaling: float = attention.scaling
        self._encoder = encoder

    def forward(self, hidden_states: torch.Tensor, *_args: Any, **_options: Any) -> torch.Tensor:
        """``[1, rows, size]``; masks and positions are in the layout."""
        flat = hidden_states[0]
        joint = self._projections.rows(flat)
        attended = attend_jointly(joint, self._encoder.layout, heads=self._heads, scaling=self._scaling)
        flat = _finished(self.attention.output, attended, flat)
        return _finished(self.output, self.intermediate.rows(flat), flat)[None]


def _finished(block: OutputBlock, made: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    norm = block.LayerNorm
    return functional.layer_norm(block.dense.rows(made, given), norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def post_norm_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Layers that may be such, with their names, once their linear layers are packed: whether they are, their answers tell."""
    for name, layer in model.named_modules():
        parts: Any = dict(layer.named_children())
        if parts.keys() != {"attention", "intermediate", "output"}:
            continue
        attention: Any = dict(parts["attention"].named_children())
        if (
            attention.keys() == {"self", "output"}
            and all(
                isinstance(getattr(attention["self"], part, None), Projection) for part in ("query", "key", "value")
            )
            and all(hasattr(attention["self"], known) for known in ("num_attention_heads", "scaling"))
            and isinstance(attention["output"], OutputBlock)
            and isinstance(parts["intermediate"], PackedLinear)
            and isinstance(parts["output"], OutputBlock)
        ):
            yield name, layer
