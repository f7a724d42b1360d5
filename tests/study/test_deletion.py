"""A sweep that is over goes with its trials and their jobs."""

from datetime import timedelta

import pytest

from app.clock import utc_now
from app.db import transaction
from app.study import deletion, driving
from app.study.models import Study
from app.verify import verify
from tests.conftest import reset_process_state


def finished(bench, **changes) -> str:
    sweep_id = bench.create(num_trials=2, **changes)
    for value in (0.5, 0.7):
        bench.run_next(sweep_id, value)
    assert bench.sweep(sweep_id)["status"] == "succeeded"
    return sweep_id


def listed(bench, path):
    return [item["id"] for item in bench.http.get(path).json()["data"]]


def findings():
    """But for those about what the tests leave out: their jobs do no steps."""
    return [finding for finding in verify() if finding.kind != "steps_missing"]


@pytest.mark.parametrize(("results", "models_left"), [(None, 2), ("keep", 2), ("delete", 0)])
def test_its_trials_and_their_jobs_go_and_its_models_as_was_asked(either_bench, results, models_left):
    bench = either_bench
    sweep_id = finished(bench, keep_models="all")
    other = bench.create()
    driving.drive(other)
    job_ids = [trial["job_id"] for trial in bench.trials(sweep_id)]
    answer = bench.http.delete(f"/sweeps/{sweep_id}", params={} if results is None else {"results": results})
    assert (answer.status_code, answer.json()) == (200, {"id": sweep_id, "deleted": True})
    assert bench.http.get(f"/sweeps/{sweep_id}").status_code == 404
    assert bench.http.delete(f"/sweeps/{sweep_id}").json()["error"]["code"] == "sweep_not_found"
    assert [bench.http.get(f"/jobs/{job_id}").status_code for job_id in job_ids] == [404, 404]
    assert listed(bench, "/jobs") == [bench.trials(other)[0]["job_id"]]
    models = [model for model in bench.http.get("/models").json()["data"] if model["kind"] == "fine-tuned"]
    assert len(models) == models_left
    assert findings() == []


def test_a_sweep_that_is_not_over_is_not_deleted(bench):
    sweep_id = bench.create()
    answer = bench.http.delete(f"/sweeps/{sweep_id}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "sweep_is_not_over")
    assert f"POST /sweeps/{sweep_id}/cancel" in answer.json()["hint"]
    driving.drive(sweep_id)
    [trial] = bench.trials(sweep_id)
    assert bench.http.delete(f"/jobs/{trial['job_id']}").json()["error"]["code"] == "job_is_not_over"


def test_a_trial_of_a_sweep_that_is_over_goes_with_it_alone(bench):
    sweep_id = finished(bench)
    job_id = bench.trials(sweep_id)[0]["job_id"]
    answer = bench.http.delete(f"/jobs/{job_id}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "job_is_a_trial")
    assert f"DELETE /sweeps/{sweep_id}" in answer.json()["hint"]


def test_nothing_goes_while_a_job_trains_from_its_best_model(bench):
    sweep_id = finished(bench)
    model = bench.sweep(sweep_id)["best"]["model"]
    with_model = bench.create(job=bench.job | {"model": "tiny"})
    with transaction() as session:
        study = session.get(Study, with_model)
        study.base_spec = study.base_spec | {"model": model}
    answer = bench.http.delete(f"/sweeps/{sweep_id}", params={"results": "delete"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "model_in_use")
    assert len(bench.trials(sweep_id)) == 2


def test_old_sweeps_are_deleted_if_the_service_is_told_to(either_bench, monkeypatch):
    bench = either_bench
    old, young = finished(bench), finished(bench)
    with transaction() as session:
        session.get(Study, old).finished_at = utc_now() - timedelta(days=8)
    assert deletion.delete_old() == 0
    monkeypatch.setenv("TUNERY_KEEP_JOBS_SECONDS", str(7 * 24 * 3600))
    reset_process_state()
    assert [deletion.delete_old(), deletion.delete_old()] == [1, 0]
    assert listed(bench, "/sweeps") == [young]
    assert {job["sweep_id"] for job in bench.http.get("/jobs").json()["data"]} == {young}
    assert findings() == []
