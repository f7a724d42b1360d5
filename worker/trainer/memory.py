"""Memory: what to do when a batch does not fit, and how not to hold what is not in use.

A batch that does not fit makes the same step in smaller parts, so that the job's recipe stays what it is.
"""

import ctypes
from typing import Final

import torch

from app.errors import InvalidRequest
from app.spec.training import TrainingSpec
from worker.trainer.batching import StepBatch
from worker.trainer.full_memory import CPU_MESSAGE
from worker.trainer.ranks import Ranks
from worker.trainer.reporting import Reporter

LARGE_BYTES: Final = 2**20


def refuse_unless_smaller_parts_help(error: RuntimeError, *, parts: int, batch: StepBatch, ranks: Ranks) -> None:
    """Raises ``error`` itself if it is about something else, InvalidRequest if parts are single or other ranks wait for this one."""
    if not isinstance(error, torch.OutOfMemoryError) and CPU_MESSAGE not in str(error):
        raise error
    if ranks.acts_together:
        raise InvalidRequest(
            "a batch did not fit into the memory of a process, and one that shares its weights with others "
            "cannot begin a step anew by itself",
            param="training.per_device_train_batch_size",
            code="out_of_memory",
            hint="Halve per_device_train_batch_size and double gradient_accumulation_steps, which leaves the step what it is, "
            "or ask for more processes.",
        ) from error
    if parts >= max(map(len, batch.micro_batches)):
        raise InvalidRequest(
            "the memory is too small for a step of a single example",
            param="training.max_length",
            code="out_of_memory",
            hint="Use a smaller max_length or model, or gradient_checkpointing.",
        ) from error


def free_and_report(report: Reporter, args: TrainingSpec, *, parts: int, processes: int) -> None:
    """To be called when the error is gone: until then its traceback holds what is to be freed."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    size = -(-int(args.per_device_train_batch_size) // (parts * processes))
    report.warn(
        "out_of_memory",
        f"a batch did not fit into memory: {size} examples at a time from now on, accumulated to the same batch of "
        f"{int(args.per_device_train_batch_size) * args.gradient_accumulation_steps} for each step",
    )


def give_back_free_memory() -> None:
    """Let the system have what the allocator holds between the tensors of batches of differing size.

    Only glibc has a way to ask for it; elsewhere this does nothing. It costs a tenth of a small model's step.
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
