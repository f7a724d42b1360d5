"""Puts the fast kernels in place of a model's own forwards, layer by layer, wherever a layer is what it seems.

Only ``forward`` is replaced, on the instance: parameters, names and hooks stay. A layer of another class than the plain one
is left alone.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from worker.packing.parts import output_blocks, projections
from worker.trainer.packed.lanes import drop
from worker.trainer.packed.linears import Rounded, linear, output_block


def use_lanes(model: nn.Module) -> None:
    """Have every dropout layer draw its mask from lanes."""
    for layer in model.modules():
        if type(layer) is nn.Dropout:
            layer.forward = _dropout(layer)  # type: ignore[method-assign,assignment]


def use_bfloat16(encoder: nn.Module) -> None:
    """Have the encoder's linear layers compute in bfloat16."""
    done: set[nn.Module] = set()
    for _, block in list(output_blocks(encoder)):
        block.forward = _output(block)
        done.add(block.dense)
    for _, module, names in list(projections(encoder)):
        layers = [getattr(module, name) for name in names]
        for layer, forward in zip(layers, _joint(layers), strict=True):
            layer.forward = forward
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
