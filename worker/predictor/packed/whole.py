"""A whole classifier of BERT's kind, its parts called one after the other.

Transformers' own forward looks after masks, caches and outputs that nobody asked for: for one short text it takes an eighth of the time.
"""

from collections.abc import Callable
from typing import Any, Final

import torch
from transformers import PreTrainedModel

from worker.packing.encoder import PackedEncoder
from worker.predictor.packed.layers import LastPostNormLayer, Normed, PostNormLayer

_EMBEDDINGS: Final = {"word_embeddings", "token_type_embeddings", "position_embeddings", "LayerNorm", "dropout"}


def joined_model(model: PreTrainedModel, encoder: PackedEncoder) -> "Callable[..., torch.Tensor] | None":
    """The logits of a row by its inputs; None: the model is not of such parts. Whether it does with them what others do, its answers tell."""
    base: Any = model.base_model
    layers = getattr(getattr(base, "encoder", None), "layer", ())
    embeddings = dict(base.embeddings.named_children()) if hasattr(base, "embeddings") else {}
    is_known = embeddings.keys() == _EMBEDDINGS and layers and all(isinstance(layer, PostNormLayer) for layer in layers)
    if not is_known or encoder.head == "whole" or not hasattr(model, "classifier"):
        return None
    return _JoinedModel(model, encoder)


class _JoinedModel:
    def __init__(self, model: Any, encoder: PackedEncoder) -> None:
        self._encoder = encoder
        embeddings = model.base_model.embeddings
        self._words, self._kinds, self._places = (
            getattr(embeddings, f"{name}_embeddings").weight for name in ("word", "token_type", "position")
        )
        self._norm = Normed(embeddings.LayerNorm)
        self._layers: list[PostNormLayer] = [*model.base_model.encoder.layer]
        self._ends_with_first = isinstance(self._layers[-1], LastPostNormLayer)
        self._pooler = getattr(model.base_model, "pooler", None)
        self._head = model.classifier

    def __call__(self, *, input_ids: torch.Tensor, token_type_ids: torch.Tensor | None = None) -> torch.Tensor:
        """Of ``[1, rows]`` each."""
        hidden = self._embedded(input_ids[0], None if token_type_ids is None else token_type_ids[0])
        for layer in self._layers:
            hidden = layer.rows(hidden)
        logits: torch.Tensor = self._head(hidden[None]) if self._encoder.head == "row" else self._of_first(hidden)
        return logits

    def _of_first(self, hidden: torch.Tensor) -> torch.Tensor:
        layout = self._encoder.layout
        first = hidden if self._ends_with_first else layout.take_first(hidden)
        pooler = self._pooler  # without one, the head takes the first token of each itself
        given = first[:, None] if pooler is None else pooler.activation(pooler.dense.rows(first))
        logits: torch.Tensor = self._head(given)
        return logits[: len(layout.lengths)]

    def _embedded(self, ids: torch.Tensor, types: torch.Tensor | None) -> torch.Tensor:
        rows = torch.embedding(self._words, ids)
        rows = rows + (self._kinds[0] if types is None else torch.embedding(self._kinds, types))
        return self._norm(rows + torch.embedding(self._places, self._encoder.positions[0]))
