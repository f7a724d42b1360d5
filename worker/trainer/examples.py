"""The examples of a split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.spec.words import Span
from worker.trainer.tokens import Windows


@dataclass(frozen=True, kw_only=True)
class Examples:
    """A split. ``pairs`` holds the second texts, None where there are none."""

    texts: list[str]
    pairs: list[str] | None
    labels: np.ndarray
    """``[n, …]``, as the task stacks them; where words have labels, those of all words, one example after the other."""
    words: list[list[Span]] | None = None
    """Where the words are that have labels, by example."""
    offsets: np.ndarray | None = None
    """``[n + 1]``: the labels of example ``i`` are ``[offsets[i], offsets[i + 1])``; None: each has one."""
    answers: np.ndarray | None = None
    """``[n]``: the labels as they were read, where those that are learned came with the tokens."""
    windows: Windows | None = None
    """Where contexts are read in windows: ``labels`` and ``offsets`` are then those of the windows."""
    rows: np.ndarray | None = None
    """``[n]``: from 1, the row of its file that each was; None: they are all rows, in their order."""

    def __len__(self) -> int:
        return len(self.texts)

    def as_pairs(self) -> list[tuple[str, str | None]]:
        """The inputs as the predictor takes them."""
        seconds: Sequence[str | None] = self.pairs or [None for _ in self.texts]
        return list(zip(self.texts, seconds, strict=True))

    @property
    def label_offsets(self) -> np.ndarray:
        """``offsets``, written out."""
        return np.arange(len(self) + 1) if self.offsets is None else self.offsets

    def row_of(self, example: int) -> int:
        """From 1, in the file or the split of the Hub that it was read from."""
        return int(example + 1 if self.rows is None else self.rows[example])

    def example_of(self, row: int) -> int:
        """Number, from 0, of the example that a row of the labels belongs to."""
        number = int(np.searchsorted(self.label_offsets, row, side="right")) - 1
        return number if self.windows is None else int(self.windows.examples[number])

    def take(self, indices: np.ndarray) -> "Examples":
        labels, offsets = self.labels, None
        if self.offsets is None:
            labels = labels[indices]
        else:
            by_example = np.split(labels, self.offsets[1:-1])
            labels = np.concatenate([by_example[i] for i in indices])
            offsets = np.cumsum([0, *(len(by_example[i]) for i in indices)])
        return Examples(
            texts=[self.texts[i] for i in indices],
            pairs=None if self.pairs is None else [self.pairs[i] for i in indices],
            labels=labels,
            words=None if self.words is None else [self.words[i] for i in indices],
            offsets=offsets,
            rows=indices + 1 if self.rows is None else self.rows[indices],
        )
