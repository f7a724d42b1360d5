"""``python -m worker.nursery``: imports what a trainer needs, runs nothing, and forks a trainer for each request.

A request comes over a Unix socket: a run directory, with the descriptors for events, control and log. The answer is the
trainer's process number. The trainer is a grandchild whose parent has ended, so that the worker, a subreaper, inherits it
and reaps it itself, whether the nursery lives or not.

Nothing here may start a thread, run a kernel of torch or start CUDA: none of it would survive the fork.
"""

import argparse
import gc
import importlib
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from setproctitle import setproctitle

from worker.nursery.words import LONGEST_REQUEST_BYTES, NUM_DESCRIPTORS, READY

STACK: Final = (
    "worker.trainer.attempt",
    "transformers.models.bert.modeling_bert",  # with all that encoders share; another one takes 10 ms more
    "datasets", "requests", "transformers.pipelines",
)  # fmt: skip
"""What an attempt imports before its first step. The last three are what ``evaluate`` imports: it cannot be here itself,
because it reads from the environment, once, where to keep its modules, and that is a folder of the attempt."""
OPTIONAL: Final = ("scipy.stats",)
"""What ``evaluate`` imports where it is there; the packages that a service needs do not bring it."""


class Birth(NamedTuple):
    """What a trainer is born with."""

    run_dir: Path
    events_fd: int
    control_fd: int
    hub_token_fd: int | None


def main(arguments: list[str]) -> Birth | None:
    """Serve until the worker is gone, and then give None. In a trainer, give what it was born with."""
    parser = argparse.ArgumentParser(prog="python -m worker.nursery", description=__doc__)
    parser.add_argument("--home", help="the service's home, for those who read the process list")
    parser.add_argument("--channel-fd", type=int, required=True)
    parsed = parser.parse_args(arguments)
    setproctitle(f"nursery: python -m worker.nursery --home {parsed.home}")
    for module in STACK:
        importlib.import_module(module)
    for module in OPTIONAL:
        with suppress(ModuleNotFoundError):
            importlib.import_module(module)
    _refuse_unless_alone()
    gc.collect()
    gc.freeze()  # what was imported is not looked at again, so its pages stay shared
    with socket.socket(fileno=parsed.channel_fd) as channel:
        channel.send(READY)
        while True:
            request, descriptors, _, _ = socket.recv_fds(channel, LONGEST_REQUEST_BYTES, NUM_DESCRIPTORS)
            if not request:
                return None
            birth = _bear(os.fsdecode(request), descriptors, channel)
            if birth is not None:
                return birth


def _refuse_unless_alone() -> None:
    """Raises RuntimeError if an import started a thread: what that holds would be held for ever in a trainer."""
    threads = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    if len(threads) > 1:
        raise RuntimeError(f"imports started threads: {', '.join(threads)}")


def _bear(run_dir: str, descriptors: list[int], channel: socket.socket) -> Birth | None:
    """Fork twice and answer with the grandchild's number. Gives None here, and its birth in the grandchild."""
    events_fd, control_fd, log_fd, *rest = descriptors
    reader, writer = os.pipe()
    child = os.fork()
    if child != 0:
        os.close(writer)
        for descriptor in descriptors:  # or the trainer's end would never be an end of file
            os.close(descriptor)
        trainer = os.read(reader, 32)
        os.close(reader)
        os.waitpid(child, 0)  # from now on the trainer is the worker's own
        if not trainer:
            raise RuntimeError("the trainer died at birth")
        channel.send(trainer)
        return None
    if os.fork() != 0:
        os._exit(0)
    os.setsid()
    channel.close()
    os.close(reader)
    os.dup2(log_fd, sys.stdout.fileno())
    os.dup2(log_fd, sys.stderr.fileno())
    os.close(log_fd)
    setproctitle(f"trainer: python -m worker.trainer {run_dir}")
    os.write(writer, str(os.getpid()).encode())  # after setsid: whoever knows the number may kill the group
    os.close(writer)
    return Birth(Path(run_dir), events_fd, control_fd, rest[0] if rest else None)


if __name__ == "__main__":
    birth = main(sys.argv[1:])
    if birth is not None:
        from worker.trainer import __main__ as trainer

        options = ["--events-fd", str(birth.events_fd), "--control-fd", str(birth.control_fd)]
        if birth.hub_token_fd is not None:
            options += ["--hub-token-fd", str(birth.hub_token_fd)]
        trainer.leave(trainer.main([str(birth.run_dir), *options]))
