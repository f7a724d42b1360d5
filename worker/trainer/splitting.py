"""Setting a part of the training split aside for validation: a function of the seed alone."""

import numpy as np

from app.errors import InvalidData
from worker.trainer.randomness import Stream, generator


def random_split(
    num_examples: int, *, fraction: float, seed: int, needed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the validation part, each in ascending order; ``num_examples`` are two at least.

    ``needed`` marks by 1 what an example shows, ``[examples, K]``: an example goes back to training if it alone shows
    something there. Raises InvalidData if none is left to validate on.
    """
    random = generator(seed, stream=Stream.SPLIT)
    wanted = min(max(1, round(fraction * num_examples)), num_examples - 1)
    validation = random.permutation(num_examples)[:wanted]
    if needed is not None:
        left = needed.sum(axis=0, dtype=np.int64) - needed[validation].sum(axis=0, dtype=np.int64)
        kept = []
        for index in validation:
            if (needed[index].astype(bool) & (left == 0)).any():
                left += needed[index]
            else:
                kept.append(index)
        validation = np.asarray(kept, dtype=np.int64)
    if len(validation) == 0:
        raise InvalidData(
            "there are too few examples to set some aside for validation: each is the only one of some label",
            param="dataset.validation",
            code="too_few_examples",
        )
    validation = np.sort(validation)
    return np.setdiff1d(np.arange(num_examples), validation), validation


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
