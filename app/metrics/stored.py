"""What the database tells of jobs, workers and webhooks: the same whichever API process is asked, a few seconds old at most."""

import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app import caller
from app.config import get_settings
from app.db import now, reading
from app.job import hardware
from app.metrics import repository
from app.metrics.counting import BOUNDS, SUM

log = structlog.get_logger(__name__)

KEPT_SECONDS: Final = 5.0
MOST_RUNNING: Final = 200
"""Of so many running jobs the speed is told: each is a series of its own."""

COUNTERS: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "jobs_ended": ("tunery_jobs_ended", "Jobs that have ended", ("kind", "status")),
    "failures": ("tunery_job_failures", "Jobs that have failed", ("kind", "code")),
    "attempts": ("tunery_job_attempts", "Attempts of jobs that have ended", ("outcome",)),
    "lease_expiries": ("tunery_lease_expiries", "Attempts whose worker was not heard of any more", ()),
}
HISTOGRAMS: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "wait": ("tunery_job_wait_seconds", "Seconds from a job's submission to its first start", ("kind",)),
    "run": ("tunery_job_run_seconds", "Seconds from a job's first start to its end", ("kind", "status")),
}


class StoredNumbers:
    """Asks the database at most every ``KEPT_SECONDS``, whoever scrapes. For use by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[Metric] = []
        self._taken_at = float("-inf")

    def families(self) -> list[Metric]:
        """Without the database only that it does not answer, and the room on the disk."""
        with self._lock:
            if time.monotonic() - self._taken_at > KEPT_SECONDS:
                self._kept = list(_take())
                self._taken_at = time.monotonic()
            return self._kept


def _take() -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "tunery_disk_free_bytes", "Room on the disk of the home", value=shutil.disk_usage(get_settings().home_dir).free
    )
    found: list[Metric] = []
    try:
        with caller.acting_for(None), reading() as session:  # whoever asks, it is told of all projects
            found = [*_of_counts(session), *_of_jobs(session), *_of_workers(session)]
            pending = repository.num_pending_deliveries(session)
        found.append(
            GaugeMetricFamily("tunery_webhook_deliveries_pending", "Events that are still to be sent", value=pending)
        )
    except DBAPIError as error:
        log.warning("no numbers of jobs: no database", error=str(error))
    yield GaugeMetricFamily("tunery_database_up", "Whether the database answers", value=int(bool(found)))
    yield from found


def _of_counts(session: Session) -> Iterator[Metric]:
    values: dict[str, list[tuple[list[str], float]]] = defaultdict(list)
    for name, labels, value in sorted(repository.tallies(session)):
        values[name].append((labels.split("/") if labels else [], value))
    for name, (family, about, names) in COUNTERS.items():
        counter = CounterMetricFamily(family, about, labels=names)
        for of_labels, value in values[name] or ([] if names else [([], 0.0)]):
            counter.add_metric(of_labels, value)
        yield counter
    for name, (family, about, names) in HISTOGRAMS.items():
        yield _histogram(family, about, names, values[name])


def _histogram(name: str, about: str, labels: Sequence[str], values: list[tuple[list[str], float]]) -> Metric:
    family = HistogramMetricFamily(name, about, labels=labels)
    by_labels: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for (*of_labels, bound), value in values:
        by_labels[tuple(of_labels)][bound] = value
    bounds = [*(str(bound) for bound in BOUNDS), "+Inf"]
    for which, found in by_labels.items():
        counts = accumulate(found.get(bound, 0) for bound in bounds)
        buckets = [
            (bound if bound == "+Inf" else str(float(bound)), count)
            for bound, count in zip(bounds, counts, strict=True)
        ]
        family.add_metric(which, buckets, found.get(SUM, 0))
    return family


def _of_jobs(session: Session) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("tunery_jobs", "Jobs that have not ended", labels=("kind", "status"))
    for which, number in repository.num_live_jobs(session).items():
        jobs.add_metric(which, number)
    yield jobs
    oldest = repository.oldest_queued_at(session)
    waited = 0.0 if oldest is None else max(0.0, (now(session) - oldest).total_seconds())
    yield GaugeMetricFamily("tunery_oldest_queued_job_seconds", "Age of the job that waits for longest", value=waited)
    steps = GaugeMetricFamily("tunery_job_steps_per_second", "How fast a running job is", labels=("job", "kind"))
    memory = GaugeMetricFamily(
        "tunery_job_gpu_memory_bytes", "The most that a running job has held of its first GPU", labels=("job", "kind")
    )
    for job in repository.running_jobs(session, limit=MOST_RUNNING):
        progress = job.progress
        if progress.get("eta_seconds") and progress.get("max_steps"):
            left = progress["max_steps"] - progress.get("step", 0)
            steps.add_metric((job.id, job.kind), left / progress["eta_seconds"])
        if progress.get("gpu_memory_bytes") is not None:
            memory.add_metric((job.id, job.kind), progress["gpu_memory_bytes"])
    yield from (steps, memory)


def _of_workers(session: Session) -> Iterator[Metric]:
    workers = hardware.present_workers(session, now=now(session))
    slots, gpus = sum(worker.slots for worker in workers), sum(len(worker.gpus) for worker in workers)
    yield GaugeMetricFamily("tunery_workers", "Workers that are present", value=len(workers))
    yield GaugeMetricFamily("tunery_worker_slots", "Jobs that they can run at a time", value=slots)
    yield GaugeMetricFamily("tunery_worker_gpus", "GPUs that they have", value=gpus)
