"""``python -m worker.main``: a Celery worker that runs jobs in threads, each of which supervises a trainer process.

Threads, not forked children: a supervisor only waits for its trainer, nothing here may fork after threads have started,
and the pool runs what it is given even while the broker is away (docs/adr/0002).
"""

import argparse
import contextlib
import os
import socket
import sys
from typing import Final

import structlog
from setproctitle import setproctitle

from app import host, log, sweep, telemetry
from app.config import get_settings
from app.study import driver as study_driver
from app.task_queue import QUEUE, get_celery
from app.webhook import sending
from worker import isolation, presence, tasks
from worker.consuming import PatientConsumer
from worker.nursery import keeper
from worker.polling import Poller
from worker.process import trainer_environment

CANNOT_ISOLATE: Final = 78
"""Exit code where trainers cannot be kept apart as the settings say (``EX_CONFIG``)."""


def main(arguments: list[str]) -> int:
    """Run until SIGTERM or SIGINT; jobs are then drained: a checkpoint at the next step, and back to the queue."""
    parser = argparse.ArgumentParser(prog="python -m worker.main", description="Runs the jobs of a Tunery service.")
    parser.add_argument("--home", help="the service's home, for those who read the process list")
    parser.parse_args(arguments)
    settings = get_settings()
    log.configure(settings)
    try:
        isolation.check()
    except isolation.IsolationUnavailableError as error:
        structlog.get_logger(__name__).error("the worker does not start", reason=str(error))
        return CANNOT_ISOLATE
    setproctitle(f"celery worker: python -m worker.main --home {settings.home_dir}")
    os.environ.setdefault(
        "OMP_NUM_THREADS", str(max(1, host.usable_cpus() // settings.worker_slots))
    )  # for its trainers
    celery = get_celery()
    tasks.register(celery)
    celery.steps["worker"].add(Poller)
    worker = _named_by_its_command_line(celery.Worker)(
        pool="threads",
        concurrency=settings.worker_slots,
        queues=[QUEUE],
        consumer_cls=PatientConsumer,
        hostname=f"tunery-{os.getpid()}@{socket.gethostname()}",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel=settings.log_level.upper(),
        quiet=True,
    )
    with contextlib.ExitStack() as company:
        if settings.warm_start:
            company.enter_context(keeper.running(environment=trainer_environment(os.environ), home=settings.home_dir))
        company.enter_context(sweep.running(each_round=presence.announce))
        company.enter_context(telemetry.running("worker"))
        company.enter_context(study_driver.running())
        company.enter_context(sending.running())
        worker.start()
    return int(worker.exitcode or 0)


def _named_by_its_command_line(worker: type) -> type:
    """Celery's worker without its habit of overwriting the process title, which tells home and module."""

    def keep(self: object, info: str) -> None:
        pass

    return type("Worker", (worker,), {"set_process_status": keep})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
