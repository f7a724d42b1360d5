"""Linear layers in bfloat16 whose weights are stored as the matrix units want them, with what follows them in the same pass.

Products are summed in float32. In which order depends on the shape of the product: for some shapes oneDNN cuts the sum in
parts. So a product is only made of so many rows at a time as were seen to give each row the same bits.
"""

import functools
import threading
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any, Final, Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from worker.predictor.packed.lanes import by_threads
from worker.predictor.packed.layout import LENGTH_ROUNDING, ROW_ROUNDING, SHORT_ROW, filled_up

_HAS_MATRIX_UNITS: Final = torch.cpu._is_amx_tile_supported()  # noqa: SLF001 - it has no public name
MOST_ROWS: Final = 512 if _HAS_MATRIX_UNITS else 1024
"""Of a micro-batch, which has the same bits whatever this is. Where there are matrix units, 640 rows of sentence pairs and MiniLM took 1.2
times as long, leaving the cache, 256 also, and 384 1.1 times. Elsewhere products take longer than memory: 1,024 rows took 0.93
times as long as 512, 768 0.95, 2,048 as long, 384 1.07."""
STEPPED_ROWS: Final = 512
"""A micro-batch has a multiple of ``ROW_ROUNDING`` up to here, or ``MOST_ROWS``: each number of rows has kernels of megabytes."""
HALF: Final = torch.bfloat16

Activation = Literal["none", "gelu"]


class PackedLinear(nn.Module):
    """One linear layer, or several of one input side by side. It has no parameters: ``put`` gives it weights."""

    def __init__(
        self, layers: Mapping[str, nn.Linear], *, threads: int, activation: Activation = "none", adds: bool = False
    ) -> None:
        """``layers`` by the names that their weights have in the model; ``threads``: of the process; ``adds``: a residual."""
        super().__init__()
        self.names = tuple(layers)
        self.sizes = [layer.out_features for layer in layers.values()]
        self._activation = activation
        self._in_features = next(iter(layers.values())).in_features
        self.put({
            f"{name}.{part}": tensor.detach() for name, layer in layers.items() for part, tensor in layer.named_parameters()
        })  # fmt: skip
        exact = exact_rows(
            self._in_features,
            sum(self.sizes),
            threads=threads,
            has_bias=self._bias is not None,
            activation=activation,
            adds=adds,
        )
        self._tile, self._most, self.takes_short_rows = exact

    @property
    def memory_bytes(self) -> int:
        return (self._in_features + (self._bias is not None)) * sum(self.sizes) * HALF.itemsize

    def put(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take the weights of the layers out of those of the model."""
        weight = torch.cat([weights[f"{name}.weight"] for name in self.names]).to(HALF)
        biases = [weights.get(f"{name}.bias") for name in self.names]
        self._bias = None if None in biases else torch.cat([bias for bias in biases if bias is not None]).to(HALF)
        self._weight = _pack(weight)

    def forward(self, inputs: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """``activation(inputs @ weight + bias)``, or with ``residual`` added, ``[..., out]``, bfloat16."""
        flat = inputs.to(HALF).reshape(-1, self._in_features)
        added = None if residual is None else residual.to(HALF).reshape(-1, sum(self.sizes))
        count = len(flat)
        if missing := filled_up(count, fills_short_rows=not self.takes_short_rows) - count:
            flat = functional.pad(flat, (0, 0, 0, missing))
            added = None if added is None else functional.pad(added, (0, 0, 0, missing))
        return self.rows(flat, added)[:count].view(*inputs.shape[:-1], -1)

    def rows(self, flat: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        """The same of ``[rows, in]`` in bfloat16, as many as a layout has, with ``added``, ``[rows, out]``."""
        if flat.shape[0] <= self._tile or flat.shape[0] == self._most:
            return _product(flat, self._weight, self._bias, activation=self._activation, added=added)
        rests = [None] * -(-flat.shape[0] // self._tile) if added is None else torch.split(added, self._tile)
        return torch.cat([
            _product(part, self._weight, self._bias, activation=self._activation, added=rest)
            for part, rest in zip(torch.split(flat, self._tile), rests, strict=True)
        ])  # fmt: skip


class JointProjections:
    """Query, key and value by one product: whoever is asked first computes for all that are asked with the same input."""

    def __init__(self, linear: PackedLinear) -> None:
        self.linear = linear
        self._now: Any = threading.local()

    def part(self, number: int) -> "Projection":
        return Projection(self, number)

    def of(self, number: int, inputs: torch.Tensor) -> torch.Tensor:
        now = self._now
        if getattr(now, "inputs", None) is not inputs or number not in now.outputs:
            now.outputs = dict(enumerate(torch.split(self.linear(inputs), self.linear.sizes, dim=-1)))
            now.inputs = inputs
        output: torch.Tensor = now.outputs.pop(number)
        if not now.outputs:
            now.inputs = None
        return output


class Projection(nn.Module):
    """One of them, in the place of the layer that it was."""

    def __init__(self, joint: JointProjections, number: int) -> None:
        super().__init__()
        self.joint, self._number = joint, number

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.joint.of(self._number, inputs)


class OutputBlock(nn.Module):
    """``norm(linear(hidden_states) + input_tensor)``, the sum within the product."""

    def __init__(self, linear: PackedLinear, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.dense, self.LayerNorm = linear, norm

    def forward(self, hidden_states: torch.Tensor, input_tensor: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = self.LayerNorm(self.dense(hidden_states, input_tensor))
        return normed


class Head(nn.Module):
    """The layer that makes the logits: in float32, from its stored weights, always so many rows at a time."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        # Copied: what was read from a file would hold all of it in memory.
        self.weight = nn.Parameter(linear.weight.detach().clone())
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach().clone())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        flat = inputs.float().reshape(-1, inputs.shape[-1])
        count = len(flat)
        flat = functional.pad(flat, (0, 0, 0, -count % ROW_ROUNDING))
        found = [functional.linear(part, self.weight, self.bias) for part in torch.split(flat, ROW_ROUNDING)]
        return (found[0] if len(found) == 1 else torch.cat(found))[:count].view(*inputs.shape[:-1], -1)


class ExactRows(NamedTuple):
    """Of how many rows products of one shape give each row the same bits."""

    at_once: int
    """Any multiple of ``ROW_ROUNDING`` up to here, which is ``STEPPED_ROWS`` at most."""
    most: int
    """And so many: ``MOST_ROWS``, or as above."""
    are_short_ones: bool
    """As many as a short layout has that was not filled up, too."""


@functools.cache
def exact_rows(
    in_features: int,
    out_features: int,
    *,
    threads: int,
    has_bias: bool = True,
    activation: Activation = "none",
    adds: bool = False,
) -> ExactRows:
    """Seen with random numbers, in products by one thread and by several of ``threads``.

    To be called by a thread that is alone with its products. The kernels that are compiled for it are those of such layers.
    """
    chooser = torch.Generator().manual_seed(0)
    weight = _pack((torch.randn((out_features, in_features), generator=chooser) * in_features**-0.5).to(HALF))
    bias = torch.randn(out_features, generator=chooser).to(HALF) if has_bias else None
    inputs = torch.randn((MOST_ROWS, in_features), generator=chooser).to(HALF)
    added = torch.randn((MOST_ROWS, out_features), generator=chooser).to(HALF) if adds else None

    def product(rows: slice) -> torch.Tensor:
        return _product(inputs[rows], weight, bias, activation=activation, added=None if added is None else added[rows])

    starts = range(0, MOST_ROWS, ROW_ROUNDING)
    expected = torch.cat([product(slice(start, start + ROW_ROUNDING)) for start in starts])

    def are_exact(count: int) -> bool:
        found = product(slice(count))
        with by_threads(threads):
            shared = product(slice(count))
        return torch.equal(found, expected[:count]) and torch.equal(shared, found)

    longer = range(2 * ROW_ROUNDING, STEPPED_ROWS + 1, ROW_ROUNDING)
    short = range(LENGTH_ROUNDING, SHORT_ROW + 1, LENGTH_ROUNDING)
    at_once = max(takewhile(are_exact, longer), default=ROW_ROUNDING)
    most = MOST_ROWS if at_once == STEPPED_ROWS and are_exact(MOST_ROWS) else at_once
    return ExactRows(at_once, most, are_short_ones=all(map(are_exact, short)))


@functools.cache
def _can_pack_weights() -> bool:
    """OneDNN's own operators, which torch's compiler uses too; without them weights are packed anew for each product."""
    is_there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return is_there and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _pack(weight: torch.Tensor) -> torch.Tensor:
    if not _can_pack_weights():
        return weight
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, STEPPED_ROWS)  # noqa: SLF001 - an operator
    return packed


def _product(
    inputs: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    activation: Activation = "none",
    added: torch.Tensor | None = None,
) -> torch.Tensor:
    if not _can_pack_weights():
        found = functional.linear(inputs, weight, bias)
        found = functional.gelu(found) if activation == "gelu" else found
        return found if added is None else found + added
    operators = _operators()
    if added is not None:
        return operators.add(inputs, added, weight, bias, "add")
    return operators.apply(inputs, weight, bias, activation, [], "none" if activation == "gelu" else "")


class _Operators(NamedTuple):
    """OneDNN's products of packed weights."""

    apply: Callable[..., torch.Tensor]
    """With an activation behind it."""
    add: Callable[..., torch.Tensor]
    """With something added."""


@functools.cache
def _operators() -> _Operators:
    """Looked up once: torch finds an operator by its name and its overload again each time."""
    found: Any = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001
    return _Operators(found.default, found.binary)
