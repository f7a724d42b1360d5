"""Metrics as ``evaluate`` modules of our own, loaded by path: the library ships none and would ask the Hub for them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


class Metrics:
    """The metrics of a job, computed together: predictions and references are class ids."""

    def __init__(self, names: Sequence[str], *, num_labels: int, cache_dir: Path) -> None:
        """``cache_dir`` belongs to this process alone: ``evaluate`` copies modules and writes scratch files there."""
        os.environ["HF_MODULES_CACHE"] = str(cache_dir / "modules")
        import evaluate  # noqa: PLC0415 - reads the variable above when it is imported, and takes a second to

        self.names = tuple(names)
        self._num_labels = num_labels
        self._modules: dict[str, Any] = {
            name: evaluate.load(
                str(Path(__file__).parent / name / f"{name}.py"),
                cache_dir=str(cache_dir / "metrics"),
                experiment_id=str(os.getpid()),
                keep_in_memory=True,
            )
            for name in self.names
        }

    def compute(self, *, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        """One number for each name. Two classes: scores of class 1; more: the unweighted mean over the classes."""
        average = "binary" if self._num_labels == 2 else "macro"
        scores: dict[str, float] = {}
        for name, module in self._modules.items():
            options = {"average": average} if name in {"f1", "precision", "recall"} else {}
            scores |= module.compute(predictions=predictions, references=references, **options)
        return {name: float(scores[name]) for name in self.names}
