"""Puts the fast kernels in place of a model's own forwards, layer by layer, wherever a layer is what it seems.

Only ``forward`` is replaced, on the instance: parameters, names and hooks stay. A layer of another class than the plain one
is left alone.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import nn

from worker.trainer.packed.lanes import drop
from worker.trainer.packed.linears import Rounded, linear, output_block

_PROJECTIONS: Final = (("query", "key", "value"), ("q_lin", "k_lin", "v_lin"), ("q_proj", "k_proj", "v_proj"))
"""The names under which encoders keep the three projections of one input."""
_OUTPUT_PARTS: Final = {"dense", "dropout", "LayerNorm"}
"""What BERT and its many descendants end attention and feed-forward with."""


def use_lanes(model: nn.Module) -> None:
    """Have every dropout layer draw its mask from lanes."""
    for layer in model.modules():
        if type(layer) is nn.Dropout:
            layer.forward = _dropout(layer)  # type: ignore[method-assign,assignment]


def use_bfloat16(encoder: nn.Module) -> None:
    """Have the encoder's linear layers compute in bfloat16."""
    done: set[nn.Module] = set()
    for block in list(_output_blocks(encoder)):
        block.forward = _output(block)
        done.add(block.dense)
    for layers in _projections(encoder):
        for layer, forward in zip(layers, _joint(layers), strict=True):
            layer.forward = forward  # type: ignore[method-assign,assignment]
            done.add(layer)
    for module in encoder.modules():
        if type(module) is nn.Linear and module not in done:
            module.forward = _single(module)  # type: ignore[method-assign,assignment]


def _dropout(layer: nn.Dropout) -> Callable[[torch.Tensor], torch.Tensor]:
    def forward(values: torch.Tensor) -> torch.Tensor:
        return drop(values, layer.p) if layer.training and layer.p > 0 else values

    return forward


def _single(layer: nn.Linear) -> Callable[[torch.Tensor], torch.Tensor]:
    rounded = Rounded([layer])
    return lambda inputs: linear(rounded, inputs)[0]


def _output(block: Any) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    rounded = Rounded([block.dense])

    def forward(hidden_states: torch.Tensor, input_tensor: torch.Tensor) -> torch.Tensor:
        p = block.dropout.p if block.training else 0.0
        return output_block(rounded, block.LayerNorm, hidden_states, input_tensor, p=p)

    return forward


def _joint(layers: list[nn.Linear]) -> list[Callable[[torch.Tensor], torch.Tensor]]:
    """Whoever is asked first computes for all that are asked with the same input."""
    rounded = Rounded(layers)
    inputs_before: torch.Tensor | None = None
    outputs: dict[int, torch.Tensor] = {}

    def of(number: int) -> Callable[[torch.Tensor], torch.Tensor]:
        def forward(inputs: torch.Tensor) -> torch.Tensor:
            nonlocal inputs_before
            if inputs is not inputs_before or number not in outputs:
                outputs.update(enumerate(linear(rounded, inputs)))
                inputs_before = inputs
            output = outputs.pop(number)
            if not outputs:
                inputs_before = None
            return output

        return forward

    return [of(number) for number in range(len(layers))]


def _output_blocks(encoder: nn.Module) -> Iterator[Any]:
    for module in encoder.modules():
        parts: Any = dict(module.named_children())
        if (
            parts.keys() == _OUTPUT_PARTS
            and type(parts["dense"]) is nn.Linear
            and type(parts["dropout"]) is nn.Dropout
            and type(parts["LayerNorm"]) is nn.LayerNorm
            and [*inspect.signature(module.forward).parameters] == ["hidden_states", "input_tensor"]
        ):
            yield module


def _projections(encoder: nn.Module) -> Iterator[list[nn.Linear]]:
    for module in encoder.modules():
        for names in _PROJECTIONS:
            layers = [getattr(module, name, None) for name in names]
            if all(type(layer) is nn.Linear for layer in layers):
                found = [layer for layer in layers if layer is not None]
                if len({layer.in_features for layer in found}) == 1:
                    yield found
