"""One or two texts in, one label of K out (logits: ``[batch, K]``)."""

import numpy as np
import torch
from torch.nn import functional


def training_loss(logits: torch.Tensor, labels: torch.Tensor, *, label_smoothing: float) -> torch.Tensor:
    """Cross entropy in float32, summed over the examples: the caller divides by those of its whole optimizer step."""
    return functional.cross_entropy(logits.float(), labels, reduction="sum", label_smoothing=label_smoothing)


def mean_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Cross entropy, one mean over the split, without label smoothing (which is a way to train, not a thing to measure)."""
    log_scores = np.log(scores(logits))
    return float(-log_scores[np.arange(len(labels)), labels].mean())


def decode(logits: np.ndarray) -> np.ndarray:
    """The class of each example, ``[n]``; the first of several equal ones."""
    classes: np.ndarray = logits.argmax(axis=1)
    return classes


def scores(logits: np.ndarray) -> np.ndarray:
    """Probabilities in float64, ``[n, K]``; none is smaller than float64 can take the logarithm of."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities: np.ndarray = np.maximum(shifted / shifted.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return probabilities


def margins(logits: np.ndarray) -> np.ndarray:
    """How far the best score of each example is from its second best, ``[n]``."""
    best_two = np.partition(scores(logits), -2, axis=1)[:, -2:]
    distance: np.ndarray = best_two[:, 1] - best_two[:, 0]
    return distance
