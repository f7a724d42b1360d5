"""What can be wrong with studies and trials is found, and nothing is where all is well."""

import pytest
from sqlalchemy import delete, update

from app.db import transaction
from app.job.models import Job
from app.study import driving
from app.study.models import Study, Trial
from app.verify import studies
from tests.study.conftest import bench

__all__ = ["bench"]


@pytest.fixture
def finished(bench):
    """A sweep of two trials that has succeeded, the second being the best."""
    sweep_id = bench.create(num_trials=2)
    for value in (0.5, 0.9):
        bench.run_next(sweep_id, value)
    return sweep_id


def kinds():
    return sorted(finding.kind for finding in studies.check_all())


def change(table, *where, **values):
    with transaction() as session:
        session.execute(update(table).where(*where).values(**values))


def test_nothing_is_wrong_with_a_sweep_that_runs_or_has_ended(bench, finished):
    running = bench.create()
    driving.drive(running)
    assert kinds() == []


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"best_number": None}, ["best_missing"]),
        ({"best_number": 7}, ["best_missing"]),
        ({"finished_at": None}, ["end_without_time"]),
        ({"error": {"code": "x", "message": "x", "param": None, "hint": None}}, ["error_without_failure"]),
    ],
)
def test_a_study_that_contradicts_itself_is_found(finished, values, found):
    change(Study, Study.id == finished, **values)
    assert kinds() == found


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"state": "running", "value": None}, ["best_missing", "trial_left"]),
        ({"value": None}, ["value_missing"]),
        ({"job_id": None}, ["job_of_no_trial", "trial_without_job"]),
        ({"number": 5}, ["best_missing", "trials_missing"]),
    ],
)
def test_a_trial_that_fits_neither_study_nor_job_is_found(finished, values, found):
    change(Trial, Trial.study_id == finished, Trial.number == 1, **values)
    assert kinds() == found


def test_jobs_that_do_not_know_their_study_and_those_that_no_trial_has_are_found(bench, finished):
    [last, first] = [job["id"] for job in bench.http.get("/jobs").json()["data"]]
    change(Job, Job.id == first, study_id=None)
    with transaction() as session:
        session.execute(delete(Trial).where(Trial.job_id == last))
    assert kinds() == ["best_missing", "job_of_no_trial", "trial_of_other_job"]
