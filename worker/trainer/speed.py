"""How fast a run is: real tokens and examples over the last steps, evaluations and saving left out."""

import time
from collections import deque
from typing import Final

_WINDOW_STEPS: Final = 50


class Speed:
    """Tell it when training is at work; ask it for rates."""

    def __init__(self) -> None:
        self._steps: deque[tuple[float, int, int]] = deque(maxlen=_WINDOW_STEPS)
        self._started_at = time.monotonic()
        self.training_seconds = 0.0

    def start(self) -> None:
        """Training goes on after something that is not training."""
        self._started_at = time.monotonic()

    def count_step(self, *, num_examples: int, num_tokens: int) -> None:
        now = time.monotonic()
        self._steps.append((now - self._started_at, num_examples, num_tokens))
        self.training_seconds += now - self._started_at
        self._started_at = now

    @property
    def seconds_per_step(self) -> float:
        return sum(seconds for seconds, _, _ in self._steps) / len(self._steps)

    @property
    def samples_per_second(self) -> float:
        return sum(examples for _, examples, _ in self._steps) / self._total_seconds

    @property
    def tokens_per_second(self) -> float:
        return sum(tokens for _, _, tokens in self._steps) / self._total_seconds

    @property
    def _total_seconds(self) -> float:
        return max(1e-9, sum(seconds for seconds, _, _ in self._steps))
