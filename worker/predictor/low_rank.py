"""A linear layer with a low-rank update beside it, as an adapter of peft's is computed when it is not merged.

The layer's own weight may be shared with any number of other models; nothing here writes to it.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D


class LowRank(nn.Module):
    """``base(x) + scaling · B(A(x))`` (Hu et al., 2021); with magnitudes, its rows rescaled (DoRA, Liu et al., 2024).

    For inference alone: the scaling is folded into ``B``, the rows' factors are computed when the weights are put in.
    """

    def __init__(self, base: nn.Module, *, scaling: float) -> None:
        super().__init__()
        self.base = base
        self._scaling = scaling
        self.down: torch.Tensor
        self.up: torch.Tensor
        self.gain: torch.Tensor | None
        self.register_buffer("down", None, persistent=False)
        self.register_buffer("up", None, persistent=False)
        self.register_buffer("gain", None, persistent=False)

    @property
    def weight(self) -> torch.Tensor:
        """Of the layer without the update: models ask it for its type and its place."""
        weight: torch.Tensor = self.base.weight  # type: ignore[assignment]
        return weight

    @property
    def bias(self) -> torch.Tensor | None:
        bias: torch.Tensor | None = self.base.bias  # type: ignore[assignment]
        return bias

    @torch.no_grad()
    def put(self, weights: Mapping[str, torch.Tensor], *, layer: str) -> None:
        """Take the update of ``layer`` from ``weights``, which have the names of peft's files.

        ``A`` is ``[r, inputs]``, ``B`` ``[outputs, r]``, magnitudes ``[outputs]``. Raises KeyError if one is missing,
        ValueError for other shapes.
        """
        self.down = weights[f"{layer}.lora_A.weight"].to(self.weight, copy=True)
        self.up = (weights[f"{layer}.lora_B.weight"] * self._scaling).to(self.weight)
        if (len(self.up), self.down.shape[1]) != self._outputs_first().shape:
            raise ValueError(f"an update of {self.up.shape} by {self.down.shape} for {self._outputs_first().shape}")
        magnitude = weights.get(f"{layer}.lora_magnitude_vector")
        if magnitude is not None:
            norms = (self._outputs_first().float() + (self.up @ self.down).float()).norm(dim=1)
            self.gain = (magnitude.to(norms) / norms).to(self.weight)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.base(inputs)
        update = functional.linear(functional.linear(inputs, self.down), self.up)
        if self.gain is None:
            return answer.add_(update)
        if self.bias is None:
            return answer.add_(update).mul_(self.gain)
        return answer.sub_(self.bias).add_(update).mul_(self.gain).add_(self.bias)

    @torch.no_grad()
    def merged_weight(self) -> torch.Tensor:
        """One weight, in the layout of the layer's own, that does the same; a new tensor."""
        weight = self._outputs_first() + self.up @ self.down
        if self.gain is not None:
            weight = weight * self.gain[:, None]
        return (weight.T if isinstance(self.base, Conv1D) else weight).contiguous()

    def _outputs_first(self) -> torch.Tensor:
        """The layer's weight ``[outputs, inputs]``; GPT-2's layers hold it the other way round."""
        return self.weight.T if isinstance(self.base, Conv1D) else self.weight

    def extra_repr(self) -> str:
        return f"scaling={self._scaling}"

    def own_tensors(self) -> list[torch.Tensor]:
        """All that is not the base's."""
        found: list[Any] = [self.down, self.up, self.gain]
        return [tensor for tensor in found if tensor is not None]
