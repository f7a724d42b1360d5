"""Row R4: workers race for jobs, and each job is claimed once."""

from itertools import chain

from sqlalchemy import select

from app.config import get_settings
from app.db import reading
from app.job.models import Attempt, Job
from tests.faults.claimants import claimants
from tests.job.conftest import insert_job

WORKERS, JOBS = 8, 80


def test_eight_workers_that_race_for_jobs_claim_each_once(database, matrix):
    jobs = [insert_job() for _ in range(JOBS)]
    with claimants("race", count=WORKERS, TUNERY_DATABASE_URL=get_settings().database) as workers:
        workers.begin()
        results = workers.results()
    assert [result["errors"] for result in results] == [[]] * WORKERS
    assert sorted(chain.from_iterable(result["claimed"] for result in results)) == sorted(jobs)
    with reading() as session:
        assert set(session.execute(select(Job.status, Job.attempt, Job.token))) == {("running", 1, 1)}
        assert sorted(session.scalars(select(Attempt.job_id))) == sorted(jobs)
    sharing = sum(bool(result["claimed"]) for result in results)
    rate = JOBS / max(result["seconds"] for result in results)
    kind = "PostgreSQL" if database.startswith("postgresql") else "SQLite"
    matrix(
        "R4", f"{WORKERS} worker processes race for {JOBS} jobs, {kind}", promise="each is claimed once",
        measured=f"{JOBS} claims by {sharing} workers, none twice, {rate:.0f}/s",
    )  # fmt: skip
