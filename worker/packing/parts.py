"""The parts of an encoder that fast kernels know, found by what they are and not by the model's name."""

import inspect
from collections.abc import Iterator
from typing import Any, Final

from torch import nn
from transformers.activations import GELUActivation

from worker.packing.last_layer import LastLayer

_PROJECTIONS: Final = (("query", "key", "value"), ("q_lin", "k_lin", "v_lin"), ("q_proj", "k_proj", "v_proj"))
"""The names under which encoders keep the three projections of one input."""
_OUTPUT_PARTS: Final = {"dense", "dropout", "LayerNorm"}
"""What BERT and its many descendants end attention and feed-forward with."""
_WIDENING_PARTS: Final = {"dense", "intermediate_act_fn"}
"""What they begin feed-forward with."""


def output_blocks(encoder: nn.Module) -> Iterator[tuple[str, Any]]:
    """Blocks ``norm(dropout(dense(hidden_states)) + input_tensor)``, each with its name."""
    for name, module in encoder.named_modules():
        parts: Any = dict(module.named_children())
        if (
            parts.keys() == _OUTPUT_PARTS
            and type(parts["dense"]) is nn.Linear
            and type(parts["dropout"]) is nn.Dropout
            and type(parts["LayerNorm"]) is nn.LayerNorm
            and [*inspect.signature(module.forward).parameters] == ["hidden_states", "input_tensor"]
        ):
            yield name, module


def widening_blocks(encoder: nn.Module) -> Iterator[tuple[str, Any]]:
    """Blocks ``gelu(dense(hidden_states))``, each with its name."""
    for name, module in encoder.named_modules():
        parts: Any = dict(module.named_children())
        if (
            parts.keys() == _WIDENING_PARTS
            and type(parts["dense"]) is nn.Linear
            and type(parts["intermediate_act_fn"]) is GELUActivation
            and [*inspect.signature(module.forward).parameters] == ["hidden_states"]
        ):
            yield name, module


def projections(encoder: nn.Module) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
    """Modules that project one input several times, each with its name and the names of these layers in it.

    Of three as a rule; the queries of a last layer that is for the first tokens alone have an input of their own.
    """
    last = {layer.projecting for layer in encoder.modules() if isinstance(layer, LastLayer)}
    for name, module in encoder.named_modules():
        for known in _PROJECTIONS:
            names = known[1:] if module in last else known
            layers = [getattr(module, layer, None) for layer in names]
            if all(type(layer) is nn.Linear for layer in layers):
                found = [layer for layer in layers if layer is not None]
                if len({layer.in_features for layer in found}) == 1:
                    yield name, module, names
