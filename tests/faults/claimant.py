"""Worker processes without trainers: ``python -m tests.faults.claimant race | work IN:OUT ...``.

One for each pair of descriptors, which are its standard input and output; all are forked from one that has imported everything.
Each says that it is ready, waits for a line on standard input, claims jobs of the database that the settings name, and writes
one JSON object: whom it claimed, over how many seconds, and which errors of the database it met.

``race``: claims until there is nothing left. ``work``: claims as long as standard input is open, tells of steps, renews leases,
and ends each job.
"""

import json
import os
import sys
import threading
import time
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from app.clock import utc_now
from app.db import now, reading, transaction
from app.job import events, lifecycle, records
from app.job.lifecycle import ClaimedJob, ClaimLost

STEPS = 3


def claim() -> ClaimedJob | None:
    with transaction() as session:
        return lifecycle.claim_next(session, worker_id=f"worker-{os.getpid()}")


def race() -> list[str]:
    claimed = []
    while (job := claim()) is not None:
        claimed.append(job.claim.job_id)
    return claimed


def work() -> list[str]:
    claimed = []
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    while not over.is_set():
        job = claim()
        if job is None:
            time.sleep(0.02)
            continue
        claimed.append(job.claim.job_id)
        _end(job)
    return claimed


def _end(job: ClaimedJob) -> None:
    """As a supervisor writes it, up to a job that is cancelled or fails."""
    claim = job.claim
    try:
        for step in range(1, STEPS + 1):
            with transaction() as session:
                lifecycle.write(session, claim, progress={"step": step, "max_steps": STEPS})
                points = [{"job_id": claim.job_id, "created_at": utc_now(), "step": step, "epoch": 0.0,
                           "name": f"train/{name}", "value": 1.0} for name in ("loss", "learning_rate")]  # fmt: skip
                records.upsert_metrics(session, points)
                events.append(session, claim.job_id, f"Step {step}.")
            with reading() as session:
                request = lifecycle.asked_for(session, claim)
            if request is not None:
                break
        with transaction() as session:
            if lifecycle.asked_for(session, claim) is not None:
                lifecycle.cancelled(session, claim)
            else:
                lifecycle.fail(
                    session, claim, error={"code": "none", "message": "It ends.", "param": None, "hint": None}
                )
    except ClaimLost:
        pass


def main(mode: str) -> None:
    with reading() as session:
        now(session)  # it is connected, as a worker that has run for a while
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    begun, errors, claimed = time.monotonic(), [], []
    try:
        claimed = {"race": race, "work": work}[mode]()
    except SQLAlchemyError as error:
        errors.append(str(error))
    result: dict[str, Any] = {"claimed": claimed, "seconds": time.monotonic() - begun, "errors": errors}
    sys.stdout.write(json.dumps(result))


def fork_each(mode: str, pairs: list[tuple[int, int]]) -> int:
    """0 when all of them have ended well."""
    children = []
    for pair in pairs:
        children.append(os.fork())
        if children[-1] == 0:
            for number, descriptor in enumerate(pair):
                os.dup2(descriptor, number)
            main(mode)
            sys.stdout.flush()
            os._exit(0)
        for descriptor in pair:
            os.close(descriptor)
    return max([os.waitpid(child, 0)[1] for child in children]) and 1


if __name__ == "__main__":
    sys.exit(fork_each(sys.argv[1], [(int(a), int(b)) for a, b in (pair.split(":") for pair in sys.argv[2:])]))
