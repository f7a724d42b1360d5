"""The last layer of an encoder whose head reads nothing but the first token of each example.

Keys and values are computed of all tokens, all else of the first tokens alone: of a layer's twelve products of equal size ten are as
good as gone, forward and backward. Nothing that the head reads is left out, so that the logits are the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
from torch import nn


class Attends(Protocol):
    """What the layer asks the encoder that it is in."""

    @property
    def layout(self) -> Any: ...

    def attend_from_first(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, scaling: float, dropout: float
    ) -> torch.Tensor: ...


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a layer of attention and feed-forward, each added to what it was given and normed, is made up."""

    projecting: str
    """The name of the part that projects to queries, keys and values."""
    names: tuple[str, str, str]
    """Those of the projections in it."""
    finished: Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]
    """What comes behind attention: of the layer, what attention came to, and what the layer was given."""


def _finished_like_bert(layer: Any, attended: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    attended = layer.attention.output(attended, given)
    made: torch.Tensor = layer.output(layer.intermediate(attended), attended)
    return made


def _finished_like_distilbert(layer: Any, attended: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    attended = layer.sa_layer_norm(layer.attention.out_lin(attended) + given)
    made: torch.Tensor = layer.output_layer_norm(layer.ffn(attended) + attended)
    return made


_LIKE_BERT: Final = Kind(projecting="attention.self", names=("query", "key", "value"), finished=_finished_like_bert)
_LIKE_DISTILBERT: Final = Kind(
    projecting="attention", names=("q_lin", "k_lin", "v_lin"), finished=_finished_like_distilbert
)


class LastLayer(nn.Module):
    """Takes a layer's place. Its parts have the names that they had."""

    def __init__(self, layer: nn.Module, kind: Kind, encoder: Attends) -> None:
        super().__init__()
        for name, part in layer.named_children():
            self.add_module(name, part)
        self.training = layer.training
        self.kind = kind
        self._encoder = encoder

    def forward(self, hidden_states: torch.Tensor, *_args: Any, **_options: Any) -> torch.Tensor:
        """``[1, examples, size]``, in the order of the batch, of ``[1, rows, size]``; masks and positions are in the layout."""
        first = hidden_states.index_select(1, self._encoder.layout.first)
        query, key, value = (getattr(self.projecting, name) for name in self.kind.names)
        attended = self._encoder.attend_from_first(
            self._by_head(query(first)),
            self._by_head(key(hidden_states)),
            self._by_head(value(hidden_states)),
            scaling=self.projecting.scaling,
            dropout=self.projecting.dropout.p if self.training else 0.0,
        )
        return self.kind.finished(self, attended.flatten(2), first)

    @property
    def projecting(self) -> Any:
        """The part that projects to queries, keys and values."""
        return self.get_submodule(self.kind.projecting)

    def _by_head(self, projected: torch.Tensor) -> torch.Tensor:
        """``[1, heads, rows, size]``"""
        return projected.view(*projected.shape[:-1], -1, self.projecting.attention_head_size).transpose(1, 2)


def find_last_layer(encoder: nn.Module) -> tuple[str, Kind] | None:
    """The name of the last layer, and its kind; None if that is not known. Whether it really is of it, answers tell."""
    found = [*_known_layers(encoder)]
    return found[-1] if found else None


def _known_layers(encoder: nn.Module) -> Iterator[tuple[str, Kind]]:
    for name, layer in encoder.named_modules():
        parts: Any = dict(layer.named_children())
        attention: Any = parts.get("attention")
        if parts.keys() == {"attention", "sa_layer_norm", "ffn", "output_layer_norm"}:
            if _is_made_of(attention, {"q_lin", "k_lin", "v_lin", "out_lin", "dropout"}) and _has_nothing_else(layer):
                yield name, _LIKE_DISTILBERT
        elif (
            parts.keys() == {"attention", "intermediate", "output"}
            and _is_made_of(attention, {"self", "output"})
            and _is_made_of(attention.get_submodule("self"), {"query", "key", "value", "dropout"})
            and _has_nothing_else(layer)
        ):
            yield name, _LIKE_BERT


def _is_made_of(module: nn.Module, names: set[str]) -> bool:
    """These parts, and no weight beside them: one that does nothing yet would pass unseen, and never be trained."""
    return {name for name, _ in module.named_children()} == names and _has_nothing_else(module)


def _has_nothing_else(module: nn.Module) -> bool:
    return not [*module.parameters(recurse=False), *module.buffers(recurse=False)]
