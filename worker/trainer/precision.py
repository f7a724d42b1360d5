"""Whether bfloat16 pays on this machine, and what makes a run repeatable on it."""

import os
from pathlib import Path

import torch

_BF16_CPU_FLAGS = {"amx_bf16", "avx512_bf16", "bf16"}
"""x86's matrix and vector units for bfloat16; ``bf16`` is what Linux calls ARM's."""


def has_fast_bf16() -> bool:
    """CUDA: Ampere and later. CPU: instructions of its own for bfloat16 (without them it is emulated, and slower)."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_capability() >= (8, 0)
    return bool(_BF16_CPU_FLAGS & _cpu_flags())


def make_repeatable() -> None:
    """Two runs of one spec give the same bytes on a CUDA device too (on a CPU they do anyway)."""
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split()}
