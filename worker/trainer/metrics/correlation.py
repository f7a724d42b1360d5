"""Pearson's correlation, on which Spearman's is built."""

import numpy as np


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Between −1 and 1, worked out in float64; 0 where one of the two does not vary and it is undefined."""
    deviations = [values.astype(np.float64) - values.mean(dtype=np.float64) for values in (first, second)]
    norms = [float(np.linalg.norm(values)) for values in deviations]
    if not all(np.ptp(values) > 0 for values in (first, second)) or 0.0 in norms:
        return 0.0
    return float(np.clip(np.dot(deviations[0] / norms[0], deviations[1] / norms[1]), -1, 1))


def ranks(values: np.ndarray) -> np.ndarray:
    """From 1; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    shared: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return shared
