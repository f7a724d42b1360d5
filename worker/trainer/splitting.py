"""Setting a part of the training split aside for validation: stratified by label, and a function of the seed alone."""

import numpy as np

from app.errors import InvalidData
from worker.trainer.randomness import Stream, generator


def stratified_split(labels: np.ndarray, *, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the validation part, each in ascending order.

    The validation part has ``fraction`` of the examples, at least one, and of each class as near to its share as whole
    examples can be; every class keeps at least one example for training. Raises InvalidData if no class has two.
    """
    classes, counts = np.unique(labels, return_counts=True)
    wanted = max(1, round(fraction * len(labels)))
    taken = _shares(counts, wanted=wanted, fraction=fraction)
    if taken.sum() == 0:
        raise InvalidData(
            "there are too few examples to set some aside for validation: no label occurs twice",
            param="dataset.validation",
            code="too_few_examples",
        )
    random = generator(seed, stream=Stream.SPLIT)
    chosen = [
        random.permutation(np.flatnonzero(labels == label))[:number]
        for label, number in zip(classes, taken, strict=True)
    ]
    validation = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def _shares(counts: np.ndarray, *, wanted: int, fraction: float) -> np.ndarray:
    """How many of each class to take: whole parts first, then by largest remainder, never the last one of a class."""
    exact = counts * fraction
    taken: np.ndarray = np.minimum(np.floor(exact).astype(np.int64), counts - 1)
    for index in np.argsort(-(exact - np.floor(exact)), kind="stable"):
        if taken.sum() >= wanted:
            break
        if taken[index] < counts[index] - 1:
            taken[index] += 1
    return taken
