"""What a transformers model answers, as one tensor."""

from typing import Any

import torch


def logits_of(output: Any) -> torch.Tensor:
    """``[…, outputs]``; of a model that finds answers ``[examples, tokens, (start, end)]``."""
    logits: torch.Tensor | None = getattr(output, "logits", None)
    if logits is not None:
        return logits
    return torch.stack([output.start_logits, output.end_logits], dim=-1)
