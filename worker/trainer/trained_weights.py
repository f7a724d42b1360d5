"""What the optimizer updates, and how that gets into the model and out of it.

Of the table of tokens only the rows of tokens that occur in the training split are updated one by one. The others have no
gradient and no moments, so AdamW does nothing to them but decay: they are their first value times a product that depends on
the step alone. For MiniLM on MRPC this spares a third of the optimizer and a gradient of 47 MB in every step.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from worker.trainer.optim import optimizer_tensors, restore_optimizer
from worker.trainer.ranks import Ranks

LARGEST_SHARE: Final = 0.8
"""With more of the vocabulary in use, updating the whole table costs no more."""


class Weights(Protocol):
    """What the optimizer has in hand, whatever it is in the model."""

    names: dict[nn.Parameter, str]
    """Of the parameters that it updates, those of the model."""

    @property
    def parameters(self) -> list[nn.Parameter]: ...

    def take_gradients(self) -> None:
        """Give the parameters the gradients that the backwards of a step have left in the model."""

    def write_back(self, step: int) -> None:
        """Bring the model up to date after ``step`` steps, before it is saved or evaluated."""

    def read(self) -> None:
        """Take over what was loaded into the model."""

    def store(self, optimizer: torch.optim.Optimizer, *, ranks: Ranks) -> dict[str, torch.Tensor]:
        """The optimizer's tensors by parameter name, on the CPU, as ``restore`` takes them. To be called by ``publishers``."""

    def restore(self, optimizer: torch.optim.Optimizer, stored: Mapping[str, torch.Tensor]) -> None:
        """Raises KeyError for a parameter without its state."""


class TrainedWeights:
    """The parameters of a run by name, each of them whole."""

    def __init__(self, model: PreTrainedModel, *, token_ids: np.ndarray, decay: Callable[[int], float]) -> None:
        """``token_ids``: all that the model will be given. ``decay``: the factor on undisturbed weights after n steps."""
        self.names = {p: name for name, p in model.named_parameters() if p.requires_grad}
        self._decay = decay
        self._table: nn.Embedding | None = None
        if (rows := rows_in_use(model, token_ids=token_ids)) is not None:
            table = model.get_input_embeddings()
            assert isinstance(table, nn.Embedding)
            self._use_rows(table, rows.to(table.weight.device))

    @property
    def parameters(self) -> list[nn.Parameter]:
        return list(self.names)

    def take_gradients(self) -> None:
        """They have them."""

    def store(self, optimizer: torch.optim.Optimizer, *, ranks: Ranks) -> dict[str, torch.Tensor]:
        return ranks.collect(optimizer_tensors(optimizer, self.names))

    def restore(self, optimizer: torch.optim.Optimizer, stored: Mapping[str, torch.Tensor]) -> None:
        restore_optimizer(optimizer, stored, self.names)

    def write_back(self, step: int) -> None:
        if self._table is not None:
            with torch.no_grad():
                weight = self._table.weight
                weight[self._others] = self._first_values * self._decay(step)
                weight[self._rows] = self._seen

    def read(self) -> None:
        if self._table is not None:
            with torch.no_grad():
                self._seen.copy_(self._table.weight[self._rows])

    def _use_rows(self, table: nn.Embedding, rows: torch.Tensor) -> None:
        others = torch.ones(table.num_embeddings, dtype=torch.bool, device=rows.device)
        others[rows] = False
        self._rows, self._others = rows, others.nonzero()[:, 0]
        self._first_values = table.weight.detach()[self._others]
        self._seen = nn.Parameter(table.weight.detach()[rows])
        place = torch.full((table.num_embeddings,), -1, device=rows.device)
        place[rows] = torch.arange(len(rows), device=rows.device)
        padding = table.padding_idx
        padding_place = None if padding is None or place[padding] < 0 else int(place[padding])

        def forward(input_ids: torch.Tensor) -> torch.Tensor:
            return functional.embedding(place[input_ids], self._seen, padding_place)

        table.forward = forward  # type: ignore[method-assign,assignment]
        self._table = table
        self.names = {self._seen if p is table.weight else p: name for p, name in self.names.items()}


def rows_in_use(model: PreTrainedModel, *, token_ids: np.ndarray) -> torch.Tensor | None:
    """Numbers of the rows of the token table that are updated one by one; None if the table is one parameter like all others."""
    table = model.get_input_embeddings()
    if type(table) is not nn.Embedding or not _is_alone(model, table):
        return None
    rows = np.unique(token_ids)
    return torch.from_numpy(rows) if len(rows) <= LARGEST_SHARE * table.num_embeddings else None


def _is_alone(model: PreTrainedModel, table: nn.Embedding) -> bool:
    """Whether the table is trained, nothing else uses its weight, and no option of it depends on the whole of it."""
    users = [name for name, p in model.named_parameters(remove_duplicate=False) if p is table.weight]
    return (
        len(users) == 1
        and table.weight.requires_grad
        and table.max_norm is None
        and not table.scale_grad_by_freq
        and not table.sparse
    )
