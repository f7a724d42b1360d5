"""A trainer that is refused memory, by torch or because it has what ``TUNERY_TRAINER_MEMORY_BYTES`` allows."""

from typing import Final

from app.spec.messages import ErrorMessage

CPU_MESSAGE: Final = "can't allocate memory"
"""How torch says it on a CPU, where it has no error class for it."""


def told(error: Exception) -> ErrorMessage | None:
    """What the user is to read of an error that ends the trainer; None if it has nothing to do with memory."""
    if not isinstance(error, MemoryError) and CPU_MESSAGE not in str(error):
        return None
    return ErrorMessage(
        code="out_of_memory",
        message="The trainer was refused memory that it needs.",
        hint="Use a smaller model, per_device_train_batch_size or max_length; TUNERY_TRAINER_MEMORY_BYTES bounds a process.",
    )
