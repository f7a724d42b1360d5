"""The processes that train one job together: how they come to be, and how they end.

The worker starts one trainer, as ever: rank 0, the leader. It forks the others when it has imported all and before it has run
anything of torch or started a thread, and they stay in its process group, so that whoever kills the group kills them all. Each holds a pipe that ends with the
leader, and the leader one that ends with each of them: a rank that dies takes the others with it at once, and none has to wait
until a collective operation gives up. Where torch's elastic launcher has started this process (``torchrun``), it is a rank of
the launcher's group, which looks after its processes itself.
"""

import os
import selectors
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from setproctitle import setproctitle

from app.spec.messages import MESSAGE, ErrorMessage, WarningMessage
from app.spec.run import ExitCode
from worker.forking import FOR_FORKING
from worker.trainer.control import ORPHANED, Control, FollowersControl
from worker.trainer.reporting import FollowersReporter, Reporter, log

RENDEZVOUS: Final = "ranks"
"""File of the run directory by which the forked ranks find each other."""

VERDICT_SECONDS: Final = 5.0
"""How long an error waits to be explained: a rank that dies makes the collective operations of the others fail."""
GRACE_SECONDS: Final = 3.0
"""How much sooner than the leader another rank may find what is wrong with a job."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which of a job's processes this one is."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Its number on this machine."""
    num_local: int = 1
    is_launched: bool = False
    """By torch's elastic launcher, whose variables tell where the others are."""


class Group:
    """What the trainer does otherwise where it is not alone. This one is alone, or the launcher looks after it."""

    def __init__(self, place: Place) -> None:
        self.place = place

    @property
    def leads(self) -> bool:
        return self.place.rank == 0

    @property
    def name(self) -> str:
        """For lines of the log: empty for the leader."""
        return "" if self.leads else f"rank {self.place.rank}: "

    def reporter(self, descriptor: int | None) -> Reporter:
        return Reporter(descriptor) if self.leads else FollowersReporter(os.open(os.devnull, os.O_WRONLY))

    def control(self) -> Control:
        return Control() if self.leads else FollowersControl()

    def watch(self, report: Reporter) -> None:
        """Be told of the others from now on."""

    def await_verdict(self) -> None:
        """To be called with an error that nobody foresaw: where another rank's death was its cause, this does not return."""

    def stay(self) -> None:
        """To be called when there is nothing left to do. A forked rank stays until the leader ends, and ends with it."""

    def settle(self, code: ExitCode) -> ExitCode:
        """The code to leave with, of an attempt that ended for this rank with ``code``."""
        return code


@dataclass(frozen=True, kw_only=True)
class _Member:
    """A forked rank, as its leader sees it."""

    rank: int
    pid: int
    channel: int
    """Where its warnings and errors come in, and its end."""
    buffer: bytearray = field(default_factory=bytearray)


class _Leader(Group):
    def __init__(self, place: Place, members: Sequence[_Member]) -> None:
        super().__init__(place)
        self._members = members

    def watch(self, report: Reporter) -> None:
        threading.Thread(target=self._watch, args=(report,), name="ranks", daemon=True).start()

    def await_verdict(self) -> None:
        time.sleep(VERDICT_SECONDS)

    def _watch(self, report: Reporter) -> None:
        with selectors.DefaultSelector() as selector:
            for member in self._members:
                selector.register(member.channel, selectors.EVENT_READ, member)
            while True:
                for key, _ in selector.select():
                    self._hear(key.data, report)

    def _hear(self, member: _Member, report: Reporter) -> None:
        chunk = os.read(member.channel, 65536)
        if not chunk:
            self._end_with(member, report)
        member.buffer.extend(chunk)
        *lines, rest = member.buffer.split(b"\n")
        member.buffer[:] = rest
        for line in lines:
            message = MESSAGE.validate_json(line)
            if isinstance(message, WarningMessage):
                report.warn(message.code, message.message)
            elif isinstance(message, ErrorMessage):
                time.sleep(GRACE_SECONDS)  # most often the leader finds the same, and this process ends meanwhile
                _leave(message, ExitCode.USER_ERROR, report)

    def _end_with(self, member: _Member, report: Reporter) -> NoReturn:
        """A forked rank never ends before its leader, but by accident."""
        _, status = os.waitpid(member.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        _leave(death_of(member.rank, size=self.place.size, code=code), 128 - code if code < 0 else 1, report)


class _Follower(Group):
    def __init__(self, place: Place, *, channel: int, leaders_life: int) -> None:
        super().__init__(place)
        self._channel, self._leaders_life = channel, leaders_life
        self._end: threading.Thread | None = None

    def reporter(self, descriptor: int | None) -> Reporter:  # noqa: ARG002 - that one is the leader's
        return FollowersReporter(self._channel)

    def watch(self, report: Reporter) -> None:  # noqa: ARG002
        self._end = threading.Thread(target=self._end_with_the_leader, name="leader", daemon=True)
        self._end.start()

    def await_verdict(self) -> None:
        assert self._end is not None
        self._end.join(VERDICT_SECONDS)

    def stay(self) -> None:
        assert self._end is not None
        self._end.join()

    def _end_with_the_leader(self) -> NoReturn:
        os.read(self._leaders_life, 1)  # nobody writes to it: this is its end of file
        os._exit(ORPHANED)


def form_group(processes: int, *, run_dir: Path, leaders_own: Sequence[int]) -> Group:
    """Join the launcher's group, or fork ``processes - 1`` others: then this returns once in each of them.

    ``leaders_own``: descriptors that the others must not hold. Only for a process with one thread.
    """
    environment = os.environ
    if "RANK" in environment and "WORLD_SIZE" in environment:
        # Accelerate would make a group of its own of this variable; all that is needed of it is here.
        local_rank = int(environment.pop("LOCAL_RANK", "0"))
        return Group(
            Place(
                rank=int(environment["RANK"]),
                size=int(environment["WORLD_SIZE"]),
                local_rank=local_rank,
                num_local=int(environment.get("LOCAL_WORLD_SIZE", "1")),
                is_launched=True,
            )
        )
    if processes == 1:
        return Group(Place())
    for name, value in FOR_FORKING.items():
        environment.setdefault(name, value)
    import worker.trainer.attempt  # noqa: F401, PLC0415 - once for all; it is there where the trainer was born warm

    return _fork(processes, run_dir=run_dir, leaders_own=leaders_own)


def death_of(rank: int, *, size: int, code: int) -> ErrorMessage:
    """What is said of a rank that ended by accident with this exit code, negative for a signal."""
    who = f"Rank {rank} of {size} processes"
    if code == -signal.SIGKILL:
        return ErrorMessage(
            code="out_of_memory",
            message=f"{who} was killed (SIGKILL), most likely because the machine ran out of memory.",
            hint="Use a smaller per_device_train_batch_size or max_length, or fewer processes.",
        )
    how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return ErrorMessage(code="trainer_crashed", message=f"{who} {how}.", hint="The job's log says more.")


def _fork(size: int, *, run_dir: Path, leaders_own: Sequence[int]) -> Group:
    (run_dir / RENDEZVOUS).unlink(missing_ok=True)  # of an earlier run by hand
    leaders_life, alive = os.pipe()
    members: list[_Member] = []
    for rank in range(1, size):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            for descriptor in (*leaders_own, alive, reader, *(member.channel for member in members)):
                os.close(descriptor)
            setproctitle(f"trainer, rank {rank} of {size}: python -m worker.trainer {run_dir}")
            place = Place(rank=rank, size=size, local_rank=rank, num_local=size)
            return _Follower(place, channel=writer, leaders_life=leaders_life)
        os.close(writer)
        members.append(_Member(rank=rank, pid=pid, channel=reader))
    os.close(leaders_life)
    return _Leader(Place(size=size, num_local=size), members)


def _leave(error: ErrorMessage, code: int, report: Reporter) -> NoReturn:
    """End this process where it is, and with it the other ranks, which wait for it."""
    log(f"error: {error.code}: {error.message}")
    report.send(error)
    report.close()
    os._exit(code)
