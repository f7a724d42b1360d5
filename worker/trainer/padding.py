"""Examples as one padded batch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from worker.trainer.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class Padding:
    """How a model's tokenizer pads."""

    fillers: dict[str, int]
    """What stands in each column where there is no token."""
    left: bool

    @classmethod
    def of(cls, tokenizer: Any) -> "Padding":
        return cls(
            fillers={"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id},
            left=tokenizer.padding_side == "left",
        )

    def batch(self, tokens: Tokens, indices: np.ndarray) -> dict[str, torch.Tensor]:
        """The model's keyword arguments, each ``[examples, longest]``, int64."""
        lengths = tokens.lengths[indices]
        width = int(lengths.max())
        columns = np.arange(width)
        mask = columns >= width - lengths[:, None] if self.left else columns < lengths[:, None]
        source = tokens.places_of(indices)
        inputs = {}
        for name, flat in tokens.columns.items():
            padded = np.full(mask.shape, self.fillers[name], dtype=np.int64)
            padded[mask] = flat[source]
            inputs[name] = torch.from_numpy(padded)
        return inputs | {"attention_mask": torch.from_numpy(mask.astype(np.int64))}
