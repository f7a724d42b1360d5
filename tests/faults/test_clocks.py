"""Row C1: a worker whose clock is wrong. Only the database's clock decides about leases."""

from datetime import datetime, timedelta

import pytest

from app.clock import utc_now
from tests.faults.conftest import IMPATIENT, TRAINING
from tests.faults.parts import api_alone

LONGER_THAN_A_LEASE = TRAINING | {"num_train_epochs": 60, "save_steps": 100}
SKEWED = """
import datetime, sys, time
skew = float(sys.argv.pop(1))
real, real_ns = time.time, time.time_ns
time.time = lambda: real() + skew
time.time_ns = lambda: real_ns() + int(skew * 1e9)
import app.clock
app.clock.utc_now = lambda: datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=skew)
from worker.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("hours", [1, -1])
def test_a_worker_with_a_wrong_clock_is_not_reaped_and_reaps_nobody(
    hours, postgres_server, tmp_path, encoder, undisturbed, matrix
):
    """Two such workers, so that each one's sweep sees the lease of the other; and an upload that is under way."""
    settings = IMPATIENT | {
        "TUNERY_DATABASE_URL": postgres_server.create_database(),
        "TUNERY_LEASE_SECONDS": "4",
        "TUNERY_WARM_START": "0",  # a trainer that waits for the nursery outlasts so short a lease
    }
    home = tmp_path / "home"
    with api_alone(home, encoder, **settings) as service:
        jobs = [service.train(training=LONGER_THAN_A_LEASE) for _ in range(2)]
        half_written = home / "artefacts/files/file-half-written"
        half_written.mkdir()
        command = ["-c", SKEWED, str(hours * 3600), "--home", str(home)]
        workers = [service.parts.start(command) for _ in range(2)]
        for job_id in jobs:
            job = service.wait(job_id, seconds=240)
            assert (job["status"], job["attempt"]) == ("succeeded", 1), service.events(job_id)
            off = datetime.fromisoformat(job["finished_at"]) - utc_now()
            assert abs(off) < timedelta(minutes=30), "the database's clock tells when"
            assert job["model"]["weights_sha256"] == undisturbed(training=LONGER_THAN_A_LEASE)
        assert half_written.exists(), "a sweep took it for an hour old"
        for worker in workers:
            assert worker.poll() is None
            service.parts.stop(worker)
    matrix(
        "C1", f"two workers whose clocks are {hours:+d} h off, a lease of 4 s", promise="nobody is reaped early",
        measured="1 attempt each, the same weights",
    )  # fmt: skip
