"""Runs a command that dies with its parent: ``tethered.py PARENT_PID SIGNAL COMMAND…``.

Linux sends SIGNAL to the command when the thread that started it ends, which cures ``kill -9`` of a supervisor; other
systems do nothing. A small program of its own instead of a ``preexec_fn``: between fork and exec hardly any Python is
safe to run. The setting survives the exec. Standard library only; run with ``-I -S`` it costs some 20 ms.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent_pid: int, death_signal: int, command: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the line above
        sys.exit(128 + death_signal)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.execv(command[0], command)  # noqa: S606  the caller is the supervisor, and there is no shell


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
