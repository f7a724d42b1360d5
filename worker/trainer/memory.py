"""What to do when a batch does not fit into memory.

It makes the same step in smaller parts, so that the job's recipe stays what it is.
"""

import torch

from app.errors import InvalidRequest
from app.spec.training import TrainingSpec
from worker.trainer.batching import StepBatch
from worker.trainer.full_memory import CPU_MESSAGE
from worker.trainer.ranks import Ranks
from worker.trainer.reporting import Reporter


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
