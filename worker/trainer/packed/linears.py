"""Linear layers in bfloat16 on the CPU: what autocast does, with fewer casts and passes.

Like autocast, inputs and weights are rounded to bfloat16 and products are summed in float32; norms, residuals, weights and
their gradients' sums stay in float32. Unlike it, query, key and value are one product, and a block's dropout, residual and
norm make no tensors in between.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from worker.trainer.packed.joint import joined
from worker.trainer.packed.lanes import Masks, mask_

_HALF = torch.bfloat16


class Rounded:
    """Weights and biases of one or more layers with the same input, one below the other, in bfloat16."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        self.layers = tuple(layers)
        self.sizes = [layer.out_features for layer in layers]
        self._weight = torch.empty((sum(self.sizes), layers[0].in_features), dtype=_HALF)
        self._bias = torch.zeros(sum(self.sizes), dtype=_HALF)

    def current(self) -> tuple[torch.Tensor, torch.Tensor]:
        """``[out, in]`` and ``[out]`` of the weights as they are now.

        They are rounded anew each time: torch's fused optimizers change weights without counting it in ``_version``.
        """
        with torch.no_grad():
            for layer, weight, bias in zip(
                self.layers, torch.split(self._weight, self.sizes), torch.split(self._bias, self.sizes), strict=True
            ):
                weight.copy_(layer.weight)
                if layer.bias is not None:
                    bias.copy_(layer.bias)
        return self._weight, self._bias

    def parameters(self) -> list[torch.Tensor | None]:
        return [p for layer in self.layers for p in (layer.weight, layer.bias)]


def linear(rounded: Rounded, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The outputs of the layers, bfloat16, ``[..., out]`` each."""
    outputs: tuple[torch.Tensor, ...] = _Linear.apply(rounded, inputs, *rounded.parameters())  # type: ignore[no-untyped-call]
    return outputs


def output_block(
    rounded: Rounded, norm: nn.LayerNorm, inputs: torch.Tensor, residual: torch.Tensor, *, p: float
) -> torch.Tensor:
    """``norm(dropout(linear(inputs)) + residual)``, in float32 but for the product."""
    block: torch.Tensor = _OutputBlock.apply(  # type: ignore[no-untyped-call]
        rounded, norm, p, inputs, residual, norm.weight, norm.bias, *rounded.parameters()
    )
    return block


def _product(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    flat = inputs.to(_HALF).reshape(-1, inputs.shape[-1])
    return flat, functional.linear(flat, weight, bias)  # adds it within the product, as addmm does not


def _grads_of_weights(
    rounded: Rounded, grad: torch.Tensor, flat: torch.Tensor, *, scale: float = 1.0
) -> list[torch.Tensor | None]:
    """For each layer its weight's and its bias's."""
    if not any(layer.weight.requires_grad for layer in rounded.layers):
        return [None] * (2 * len(rounded.layers))
    d_bias = grad.sum(0).float() * scale  # first, while the gradient is in the cache
    d_weight = torch.addmm(grad.new_empty(()), grad.t(), flat, beta=0, alpha=scale).float()
    grads: list[torch.Tensor | None] = []
    for layer, of_weight, of_bias in zip(
        rounded.layers, torch.split(d_weight, rounded.sizes), torch.split(d_bias, rounded.sizes), strict=True
    ):
        grads += [of_weight if layer.weight.requires_grad else None, None if layer.bias is None else of_bias]
    return grads


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rounded: Rounded, inputs: torch.Tensor, *_parameters: torch.Tensor | None) -> Any:
        weight, bias = rounded.current()
        flat, product = _product(inputs, weight, bias)
        ctx.save_for_backward(flat)
        ctx.rounded, ctx.weight, ctx.shape = rounded, weight, inputs.shape
        outputs = product.view(*inputs.shape[:-1], -1)
        return torch.split(outputs, rounded.sizes, dim=-1) if len(rounded.sizes) > 1 else (outputs,)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        (flat,) = ctx.saved_tensors
        grad = joined(grads).reshape(-1, sum(ctx.rounded.sizes)).to(_HALF)
        d_inputs = torch.mm(grad, ctx.weight).view(ctx.shape) if ctx.needs_input_grad[1] else None
        return None, d_inputs, *_grads_of_weights(ctx.rounded, grad, flat)


class _OutputBlock(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rounded: Rounded,
        norm: nn.LayerNorm,
        p: float,
        inputs: torch.Tensor,
        residual: torch.Tensor,
        norm_weight: torch.Tensor,
        norm_bias: torch.Tensor,
        *_parameters: torch.Tensor | None,
    ) -> torch.Tensor:
        weight, bias = rounded.current()
        flat, product = _product(inputs, weight, bias)
        masks = Masks(p, dtype=product.dtype) if p > 0 else None
        keep, scale = (None, 1.0) if masks is None else (masks.draw(product.shape), masks.scale)
        total = mask_(product, keep).float().view(residual.shape)  # converted first: a mixed sum takes twice the time
        torch.add(residual, total, alpha=scale, out=total)
        out, mean, rstd = torch.native_layer_norm(total, list(norm.normalized_shape), norm_weight, norm_bias, norm.eps)
        ctx.save_for_backward(flat, keep, total, mean, rstd, norm_weight, norm_bias)
        ctx.rounded, ctx.weight, ctx.scale, ctx.shape = rounded, weight, scale, inputs.shape
        ctx.normalized = list(norm.normalized_shape)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        flat, keep, total, mean, rstd, norm_weight, norm_bias = ctx.saved_tensors
        d_total, d_norm_weight, d_norm_bias = torch.ops.aten.native_layer_norm_backward(
            grads[0], total, ctx.normalized, mean, rstd, norm_weight, norm_bias, [True, True, norm_bias is not None]
        )
        grad = mask_(d_total.to(_HALF, copy=True).view(-1, ctx.normalized[-1]), keep)
        d_inputs = torch.addmm(grad.new_empty(()), grad, ctx.weight, beta=0, alpha=ctx.scale).view(ctx.shape)
        of_weights = _grads_of_weights(ctx.rounded, grad, flat, scale=ctx.scale)
        return None, None, None, d_inputs, d_total, d_norm_weight, d_norm_bias, *of_weights
