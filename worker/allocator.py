"""How not to hold memory that is not in use."""

import ctypes
from typing import Final

LARGE_BYTES: Final = 2**20


def give_back_free_memory() -> None:
    """Let the system have what the allocator holds between the tensors of batches of differing size.

    Only glibc has a way to ask for it; elsewhere this does nothing. It costs a tenth of a small model's training step.
    """
    if _trim is not None:
        _trim(0)


def give_back_large_tensors_at_once() -> None:
    """Have the system lend the memory of each large tensor by itself, and take it back when the tensor is gone.

    For a process that puts large weights together and takes them apart all the time: of a BERT-base in two halves its allocator held
    0.8 GB that no tensor was in. Memory that comes anew is filled with zeros first, which others need not wait for. Only glibc.
    """
    if _set_option is not None:
        _set_option(_MMAP_THRESHOLD, LARGE_BYTES)


_C: Final = ctypes.CDLL(None)
_trim = getattr(_C, "malloc_trim", None)
_set_option = getattr(_C, "mallopt", None)
_MMAP_THRESHOLD: Final = -3
"""``M_MMAP_THRESHOLD`` of ``malloc.h``."""
