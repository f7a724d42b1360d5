"""All randomness of a run is a function of its seed and of where it is, never of what was drawn before.

That makes a resumed run exact: there is no generator state to store.
"""

from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """What the numbers are for; one use never shifts another's."""

    HEAD = 0
    ORDER = 1
    DROPOUT = 2
    SPLIT = 3
    ADAPTER = 4


def generator(seed: int, *, stream: Stream, index: int = 0) -> np.random.Generator:
    """A NumPy generator of its own for ``(seed, stream, index)``."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, stream, index])))


def seed_torch(seed: int, *place: int, stream: Stream) -> None:
    """Seed torch on all devices by where the run is. Mixed by SeedSequence: torch's CPU generator uses the low 32 bits only."""
    words = np.random.SeedSequence([seed, stream, *place]).generate_state(1, np.uint64)
    torch.manual_seed(int(words[0] >> np.uint64(1)))
