"""A node of a job that several workers run together: torch's elastic launcher starts its ranks and watches them.

The worker starts one process, as ever. Here it is the launcher's agent: it meets the agents of the other nodes at the leader's
endpoint (a static rendezvous), forks its ranks into its own process group, ends them all when one ends otherwise than well, and
never starts one again. What the launcher does not do is here too: a rank ends with the worker, and says why the others could not go on.
"""

import os
import select
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Final, NoReturn

from setproctitle import setproctitle

from app.spec.run import ExitCode, NodeSpec, RunSpec
from worker.trainer.control import ORPHANED, Control, FollowersControl
from worker.trainer.group import GRACE_SECONDS, VERDICT_SECONDS, Group, Place, death_of
from worker.trainer.reporting import FollowersReporter, Reporter, log

MEETING_SECONDS: Final = 120
"""How long the nodes wait for each other: all have been told to start, and may do so cold."""
MONITOR_SECONDS: Final = 0.1
LOOPBACK: Final = "lo0" if sys.platform == "darwin" else "lo"
"""Interface for nodes that are all on this machine: nobody else is to reach it."""
LAUNCHER_FOLDER: Final = "launcher"
"""In the run directory: what torch writes about its ranks."""


def launch(run: RunSpec, node: NodeSpec, *, arguments: list[str], run_dir: Path, events: int | None) -> int:
    """Run the ranks of ``node``, each with these ``arguments`` of the command line; the code to exit with.

    That is 0, that of the first rank that ended otherwise, or 128 and the number of the signal that it died of.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs  # noqa: PLC0415 - torch is imported late
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch  # noqa: PLC0415

    import worker.trainer.attempt  # noqa: F401, PLC0415 - once for all ranks; it is there where the trainer was born warm

    processes = run.spec.resources.processes
    log(f"node {node.rank} of {node.count}, {processes} processes; they meet at {node.endpoint}")
    if node.endpoint.startswith("127."):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK)
    config = LaunchConfig(
        min_nodes=node.count,
        max_nodes=node.count,
        nproc_per_node=processes,
        run_id=f"{run.job_id}-{run.attempt}",
        rdzv_backend="static",
        rdzv_endpoint=node.endpoint,
        rdzv_configs={"rank": node.rank, "timeout": MEETING_SECONDS},
        max_restarts=0,
        monitor_interval=MONITOR_SECONDS,
        start_method="fork",
        logs_specs=DefaultLogsSpecs(log_dir=str(run_dir / LAUNCHER_FOLDER)),
    )
    try:
        elastic_launch(config, _run_rank)(arguments)
    except ChildFailedError as failed:
        rank, failure = failed.get_first_failure()
        code = failure.exitcode
        if code not in set(ExitCode):
            report = Reporter(events)
            report.send(death_of(rank, size=node.count * processes, code=code))
            report.close()
        return 128 - code if code < 0 else code
    return ExitCode.SUCCESS


def _run_rank(arguments: list[str]) -> None:
    """A rank, in a process of its own. Returns if all went well: the launcher waits for that; else ends the process."""
    import torch  # noqa: PLC0415 - imported late

    from worker.trainer.__main__ import main  # noqa: PLC0415 - it starts this module's agent

    # The launcher says with it that another rank has failed. Nothing is left to do then, and a rank that waits for a collective
    # operation would not hear of it in Python.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    environment = os.environ
    rank, size = environment["RANK"], environment["WORLD_SIZE"]
    torch.set_num_threads(max(1, torch.get_num_threads() // int(environment["LOCAL_WORLD_SIZE"])))
    setproctitle(f"trainer, rank {rank} of {size}: python -m worker.trainer {' '.join(arguments)}")
    try:
        code = main(arguments)
    except Exception:  # noqa: BLE001 - it is printed, and threads of libraries may not hold up the end
        traceback.print_exc()
        code = 1
    if code != ExitCode.SUCCESS:
        os._exit(code)


class NodeRank(Group):
    """A rank that the launcher has started on behalf of a worker."""

    def __init__(self, place: Place, *, life: int | None) -> None:
        """``life``: the control descriptor, which ends with the worker. Rank 0 alone reads it."""
        super().__init__(place)
        self._life = life

    def reporter(self, descriptor: int | None) -> Reporter:
        """On the leader's node rank 0 alone is heard, elsewhere all are: by the node's own supervisor."""
        if self.leads:
            return Reporter(descriptor)
        if descriptor is None or self.place.rank < self.place.num_local:
            descriptor = os.open(os.devnull, os.O_WRONLY)
        return FollowersReporter(descriptor)

    def control(self) -> Control:
        return Control(wake_up=signal.SIGUSR1) if self.leads else FollowersControl(wake_up=signal.SIGUSR1)

    def watch(self, report: Reporter) -> None:  # noqa: ARG002 - the launcher hears of the others
        if self._life is not None and not self.leads:
            threading.Thread(target=self._end_with_the_worker, args=(self._life,), name="worker", daemon=True).start()

    def await_verdict(self) -> None:
        """If another rank of this node died, the launcher finds that one first, and ends this one meanwhile."""
        time.sleep(VERDICT_SECONDS)

    def settle(self, code: ExitCode) -> ExitCode:
        """With what to leave. Rank 0 alone says how the attempt ended, and is not to be disturbed by others that know it sooner."""
        if self.leads:
            return code
        if code == ExitCode.USER_ERROR:
            time.sleep(GRACE_SECONDS)  # most often the leader finds the same, and this process ends meanwhile
            return code
        return ExitCode.SUCCESS

    @staticmethod
    def _end_with_the_worker(life: int) -> NoReturn:
        hang_up = select.poll()
        hang_up.register(life, 0)  # only its end, not the words that are rank 0's to read
        hang_up.poll()
        os._exit(ORPHANED)
