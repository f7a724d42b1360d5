"""``python -m worker.trainer RUN_DIR``: one attempt of one job. Exit codes: ``app.spec.run.ExitCode``.

Without ``--events-fd`` the messages go to standard output, without ``--control-fd`` only SIGTERM stops it, so that an
attempt can be run by hand on a run directory.
"""

import argparse
import importlib
import os
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

from pydantic import ValidationError

from app.errors import ServiceError
from app.spec.messages import ErrorMessage
from app.spec.run import RUN, RUN_FILE, AnyRun, ExitCode, RunSpec, shared_run_dir
from worker.trainer import full_disk, full_memory, hub_token
from worker.trainer.confinement import confine
from worker.trainer.control import Stopped
from worker.trainer.group import form_group
from worker.trainer.node import NodeRank, launch
from worker.trainer.reporting import log

ATTEMPTS: Final = {
    "training": "worker.trainer.attempt",
    "prediction": "worker.batch_prediction.attempt",
    "export": "worker.export.attempt",
}
"""By the kind of job, the module whose ``run_attempt`` does the work of this process."""


def main(arguments: list[str]) -> int:
    started_at = time.monotonic()
    parsed, run_dir, run = _parse(arguments)
    confine(run.confinement)
    if parsed.hub_token_fd is not None:
        hub_token.use(parsed.hub_token_fd)
    if run.devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(run.devices)
    if run.node is not None and isinstance(run, RunSpec):
        if "RANK" not in os.environ:
            return launch(run, run.node, arguments=arguments, run_dir=run_dir, events=parsed.events_fd)
        run_dir = shared_run_dir(run.node, run_dir)
    own = [descriptor for descriptor in (parsed.events_fd, parsed.control_fd) if descriptor is not None]
    group = form_group(run.processes, run_dir=run_dir, leaders_own=own)
    if run.node is not None:
        group = NodeRank(group.place, life=parsed.control_fd)
    report, control = group.reporter(parsed.events_fd), group.control()
    try:
        control.start(parsed.control_fd if group.leads else None)
        group.watch(report)
        report.phase("preparing")
        _leave_working_directory(run_dir)
        attempt = importlib.import_module(
            ATTEMPTS[run.kind]
        )  # takes seconds if started cold, and can be stopped by now
        attempt.run_attempt(
            run, run_dir=run_dir, report=report, control=control, started_at=started_at, place=group.place
        )
    except Stopped as stop:
        log(f"{group.name}stopped: {stop.code.name.lower()}")
        code = stop.code
    except ServiceError as error:
        log(f"{group.name}error: {error.code}: {error.message}")
        report.send(ErrorMessage(**error.as_job_error()))
        code = ExitCode.USER_ERROR
    except Exception as error:
        group.await_verdict()
        if (message := full_disk.told(error) or full_memory.told(error)) is not None:
            report.send(message)
        raise
    else:
        code = ExitCode.SUCCESS
    finally:
        report.close()
    group.stay()
    return group.settle(code)


def _parse(arguments: list[str]) -> tuple[argparse.Namespace, Path, AnyRun]:
    """What the command line says, the run directory, and what stands in it."""
    parser = argparse.ArgumentParser(prog="python -m worker.trainer", description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--events-fd", type=int)
    parser.add_argument("--control-fd", type=int)
    parser.add_argument("--hub-token-fd", type=int)
    parsed = parser.parse_args(arguments)
    run_dir: Path = parsed.run_dir.resolve()
    try:
        run = RUN.validate_json((run_dir / RUN_FILE).read_bytes())
    except ValidationError as error:
        parser.error(f"{RUN_FILE}: {error}")
    return parsed, run_dir, run


def _leave_working_directory(run_dir: Path) -> None:
    """Go where nothing lies: the Hugging Face libraries take an id for a local folder if there is one of that name."""
    empty = run_dir / "empty"
    empty.mkdir(exist_ok=True)
    os.chdir(empty)


def leave(code: int) -> NoReturn:
    """End the process. Threads of libraries may not hold up the end: all that matters is written."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
