"""Jobs in the database without the HTTP layer."""

import pytest

from app import ids
from app.clock import utc_now
from app.db import now, transaction
from app.job import events
from app.job.models import Job
from app.job.states import JobStatus


def insert_job(*, status: JobStatus = JobStatus.QUEUED, **columns) -> str:
    """A stored job, as ``POST /jobs`` leaves it."""
    with transaction() as session:
        spec = {"model": "tiny", "dataset": {"train": "file-" + "0" * 32}}
        values = {
            "id": ids.new_id(ids.JOB), "status": status, "spec": spec, "requested_spec": spec, "job_metadata": {},
            "created_at": utc_now(), "not_before": now(session), "progress": {}, "warnings": [], "timings": {},
        }  # fmt: skip
        job = Job(**(values | columns))
        session.add(job)
        session.flush()
        events.append(session, job.id, "The job was accepted.", kind="status")
        return job.id


@pytest.fixture
def job(database) -> str:
    return insert_job()
