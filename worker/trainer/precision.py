"""Whether bfloat16 pays on this machine, and what makes a run repeatable on it."""

import os
import warnings
from pathlib import Path
from typing import Any

import torch

from worker.trainer.reporting import Reporter

_BF16_CPU_FLAGS = {"amx_bf16", "avx512_bf16", "bf16"}
"""x86's matrix and vector units for bfloat16; ``bf16`` is what Linux calls ARM's."""


def has_fast_bf16() -> bool:
    """CUDA: Ampere and later. CPU: instructions of its own for bfloat16 (without them it is emulated, and slower)."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_capability() >= (8, 0)
    return bool(_BF16_CPU_FLAGS & _cpu_flags())


def round_tiny_numbers_to_zero() -> None:
    """Numbers below 1e-38 are computed with a dozen times slower on CPUs; who counts on them counts on noise.

    AdamW's mean of a gradient gets there in 830 steps without one: the embedding of a token that is rare in much data.
    """
    torch.set_flush_denormal(True)


def make_repeatable(*, full_determinism: bool, report: Reporter) -> None:
    """Two runs of one spec give the same bytes on a CUDA device too (on a CPU they do anyway).

    An operation without a deterministic kernel runs all the same, and the job is warned of it.
    """
    if full_determinism and torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # nothing reads it
        warn_of_other_kernels(report)


def warn_of_other_kernels(report: Reporter) -> None:
    """Have torch's warnings of operations that are not deterministic become the job's, once for each operation."""
    told: set[str] = set()
    show = warnings.showwarning

    def tell(message: Warning | str, *args: Any, **options: Any) -> None:
        operation, found, _ = str(message).partition(" does not have a deterministic implementation")
        if not found:
            show(message, *args, **options)
        elif operation not in told:
            told.add(operation)
            report.warn(
                "not_deterministic", f"{operation} has no deterministic kernel here: a rerun may give other weights"
            )

    warnings.showwarning = tell


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split()}
