"""What goes through a model: texts, or windows of them, from whoever has such, each with where its answer goes."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from worker.predictor.encoded import EncodedText

MOST_CHOICES: Final = 512
"""Parts among which a micro-batch is chosen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One text or window. ``encoded`` has no windows itself."""

    encoded: EncodedText
    take: Callable[[NDArray[np.float32]], None]
    """Is given its rows as ``LoadedModel.forward`` has them, soon after they are computed and from the thread that did it."""
    owner: object = None
    """Whose it is: what fails together is tried again by owners."""


Choose = Callable[[Sequence[int]], Sequence[int]]
"""Numbers, ascending, of those that are taken of parts with so many tokens each: one at least, if there are any."""


class Parts(Protocol):
    """Parts that wait. ``take`` is called by one thread at a time, the others by any."""

    def take(self, choose: Choose) -> list[Part]:
        """Those that are chosen; none, if none wait."""

    def are_left(self) -> bool:
        """Whether some wait."""

    def wait(self, until: Callable[[], bool]) -> bool:
        """Wait for ``until``, which may change as parts come. False: no more will."""

    def wake(self) -> None:
        """Have those who wait look at their ``until`` again."""

    def failed(self, part: Part, error: Exception) -> None:
        """``error`` was made by this one, or another of its owner's that was computed with it. May raise it."""


class GivenParts:
    """A number of parts, and no more; ``at_once`` of them are there to choose from."""

    def __init__(self, parts: Iterable[Part], *, at_once: int) -> None:
        self._parts = deque(parts)
        self._at_once = at_once

    def take(self, choose: Choose) -> list[Part]:
        chosen = choose([part.encoded.num_tokens for part in islice(self._parts, self._at_once)])
        first = [self._parts.popleft() for _ in range(chosen[-1] + 1)] if chosen else []
        taken = {*chosen}
        self._parts.extendleft(part for number, part in reversed([*enumerate(first)]) if number not in taken)
        return [first[number] for number in chosen]

    def are_left(self) -> bool:
        return bool(self._parts)

    def wait(self, until: Callable[[], bool]) -> bool:  # noqa: ARG002
        return False

    def wake(self) -> None:
        """Nobody waits."""

    def failed(self, part: Part, error: Exception) -> None:  # noqa: ARG002
        raise error
