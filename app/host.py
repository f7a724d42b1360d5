"""Which running system this is, what of it may be used, and whether a process of it lives.

Linux tells exactly; elsewhere only the start of a process decides.
"""

import os
import platform
from functools import lru_cache
from pathlib import Path

_PROC = Path("/proc")
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")


@lru_cache(maxsize=1)
def identity() -> str:
    """Equal for two processes only if the process numbers of one mean the same to the other.

    On Linux the boot and the process-id namespace, so that two containers of one machine differ.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return f"{platform.node()}/{os.getpid()}"


def usable_cpus() -> int:
    """Processors this process may run on, and no more of them than its control group (a container's) is allowed to keep busy."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_QUOTA.read_text().split()
        return cpus if quota == "max" else max(1, min(cpus, round(int(quota) / int(period))))
    except (OSError, ValueError):
        return cpus


def memory_bytes() -> int:
    """Memory that this process may use: the machine's, or what its control group (a container's) is allowed."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = _MEMORY_LIMIT.read_text().strip()
        return whole if limit == "max" else min(whole, int(limit))
    except (OSError, ValueError):
        return whole


def process_started(pid: int) -> int:
    """Clock ticks from boot to the start of the process: with its number they name it. 0 where that is unknown."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[19])


def is_alive(pid: int, *, started_at: int) -> bool:
    """Whether that process, and not a later one with its number, is alive. A zombie is not."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return False
    fields = stat.rpartition(")")[2].split()
    return fields[0] not in {"Z", "X"} and int(fields[19]) == started_at


def command_lines() -> dict[int, str]:
    """Of every process that can be seen, by its number; empty where the system does not list them."""
    found = {}
    for folder in _PROC.glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it has just ended
        found[int(folder.name)] = words.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    return found
