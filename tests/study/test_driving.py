"""Trials are begun, taken in, pruned and ended by whoever looks, once each."""

import threading

import pytest
from sqlalchemy import select

from app.db import reading, transaction
from app.errors import Conflict
from app.file.models import File
from app.job import lifecycle, requests
from app.job.models import Job
from app.model import service as models
from app.prediction import finding
from app.study import beginning, driving
from app.study import driver as study_driver
from app.study.models import Study, Trial
from app.study.settling import MOST_FAILURES
from app.verify import studies as checker
from tests.study.conftest import load_job


def test_trials_run_one_after_the_other_and_the_best_model_is_kept(either_bench):
    sweep_id = either_bench.create()
    assert either_bench.sweep(sweep_id)["status"] == "queued"
    made = [either_bench.run_next(sweep_id, value) for value in (0.5, 0.9, 0.7)]
    sweep = either_bench.sweep(sweep_id)
    assert (sweep["status"], sweep["counts"]["complete"]) == ("succeeded", 3)
    trials = either_bench.trials(sweep_id)
    assert [trial["value"] for trial in trials] == [0.5, 0.9, 0.7]
    assert sweep["best"] == {
        "trial": 1, "job_id": trials[1]["job_id"], "params": trials[1]["params"], "value": 0.9, "model": made[1],
    }  # fmt: skip
    assert [model["id"] for model in either_bench.http.get("/models").json()["data"]] == [made[1], "tiny"]
    assert len({trial["params"]["training.learning_rate"] for trial in trials}) == 3
    assert either_bench.claim() is None
    assert list(checker.check_all()) == []


def test_each_job_has_its_trials_parameters_and_else_the_same_spec(bench):
    sweep_id = bench.create(max_parallel=3)
    driving.drive(sweep_id)
    trials = bench.trials(sweep_id)
    specs = [load_job(trial["job_id"]).spec for trial in trials]
    assert [spec["training"].pop("learning_rate") for spec in specs] == [
        trial["params"]["training.learning_rate"] for trial in trials
    ]
    assert specs[0] == specs[1] == specs[2]
    assert specs[0]["training"]["metric_for_best_model"] == "f1"
    listed = bench.http.get("/jobs", params={"sweep_id": sweep_id}).json()["data"]
    assert [job["id"] for job in listed] == [trial["job_id"] for trial in reversed(trials)]
    assert {job["sweep_id"] for job in listed} == {sweep_id}


def test_the_smallest_loss_is_the_best(bench):
    sweep_id = bench.create(metric="eval/loss", num_trials=2)
    for value in (0.3, 0.6):
        driving.drive(sweep_id)
        bench.succeed(bench.claim(), value, metric="eval/loss")
    driving.drive(sweep_id)
    sweep = bench.sweep(sweep_id)
    assert (sweep["best"]["trial"], sweep["spec"]["direction"]) == (0, "minimize")
    assert sweep["spec"]["job"]["training"]["metric_for_best_model"] == "loss"
    assert sweep["spec"]["job"]["training"]["greater_is_better"] is False


def test_all_models_are_kept_where_that_was_asked_for(bench):
    sweep_id = bench.create(keep_models="all", num_trials=2)
    made = [bench.run_next(sweep_id, value) for value in (0.5, 0.9)]
    assert {model["id"] for model in bench.http.get("/models").json()["data"]} == {*made, "tiny"}


def test_the_folder_of_a_model_that_is_not_kept_goes_with_it(bench):
    sweep_id = bench.create(num_trials=2)
    loser = bench.run_next(sweep_id, 0.5)
    folder = models.published(loser).folder
    assert folder.is_dir()
    bench.run_next(sweep_id, 0.9)
    assert not folder.exists()


def test_no_more_than_max_parallel_run_at_a_time(bench):
    sweep_id = bench.create(max_parallel=2)
    driving.drive(sweep_id)
    driving.drive(sweep_id)
    assert [trial["state"] for trial in bench.trials(sweep_id)] == ["running"] * 2
    bench.succeed(bench.claim(), 0.5)
    driving.drive(sweep_id)
    assert [trial["state"] for trial in bench.trials(sweep_id)] == ["complete", "running", "running"]


def test_many_drivers_at_once_begin_each_trial_once(either_bench):
    sweep_id = either_bench.create(num_trials=6, max_parallel=6)
    start = threading.Barrier(4)
    raised = []

    def race():
        start.wait()
        try:
            driving.drive(sweep_id)
        except Exception as error:  # noqa: BLE001  told by the assertion below
            raised.append(error)

    drivers = [threading.Thread(target=race) for _ in range(4)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    driving.drive(sweep_id)
    assert raised == []
    trials = either_bench.trials(sweep_id)
    assert [trial["number"] for trial in trials] == list(range(6))
    assert len(either_bench.http.get("/jobs", params={"sweep_id": sweep_id}).json()["data"]) == 6


def test_a_driver_that_looked_before_another_began_the_trial_begins_no_second(bench, monkeypatch):
    sweep_id = bench.create(max_parallel=1)
    propose = beginning.optimizer.propose

    def meanwhile(problem, past):
        monkeypatch.setattr(beginning.optimizer, "propose", propose)
        assert beginning.begin_next(sweep_id)
        return propose(problem, past)

    monkeypatch.setattr(beginning.optimizer, "propose", meanwhile)
    assert not beginning.begin_next(sweep_id)
    assert len(bench.trials(sweep_id)) == 1


def test_another_process_would_have_chosen_the_same_parameters(bench):
    chosen = []
    for _ in range(2):
        sweep_id = bench.create(num_trials=4, sampler={"type": "tpe", "seed": 7, "n_startup_trials": 2})
        for value in (0.5, 0.9, 0.7, 0.8):
            bench.run_next(sweep_id, value)
        chosen.append([trial["params"] for trial in bench.trials(sweep_id)])
    assert chosen[0] == chosen[1]


def test_a_grid_tries_every_point_once(bench):
    space = {
        "training.learning_rate": {"choices": [1e-5, 1e-4]},
        "training.per_device_train_batch_size": {"low": 8, "high": 16, "step": 8},
    }
    sweep_id = bench.create(space=space, sampler={"type": "grid"}, num_trials="auto", max_parallel=4)
    driving.drive(sweep_id)
    assert bench.sweep(sweep_id)["counts"]["total"] == 4
    points = {tuple(trial["params"].values()) for trial in bench.trials(sweep_id)}
    assert points == {(rate, size) for rate in (1e-5, 1e-4) for size in (8, 16)}


def test_a_trial_below_the_median_is_pruned_and_its_job_ended(either_bench):
    sweep_id = either_bench.create(pruner={"type": "median", "n_startup_trials": 1}, num_trials=3)
    driving.drive(sweep_id)
    first = either_bench.claim()
    either_bench.evaluate(first, 0.5, 0.6)
    either_bench.succeed(first, 0.6)
    driving.drive(sweep_id)
    second = either_bench.claim()
    either_bench.evaluate(second, 0.4)
    driving.drive(sweep_id)
    assert load_job(second.job_id).request == "cancel"
    assert either_bench.trials(sweep_id)[1]["state"] == "running", "its trainer is not gone yet"
    either_bench.evaluate(second, 0.4, 0.4)
    driving.drive(sweep_id)

    with transaction() as session:
        lifecycle.cancelled(session, second)
    driving.drive(sweep_id)
    states = [trial["state"] for trial in either_bench.trials(sweep_id)]
    assert states == ["complete", "pruned", "running"]
    assert [point["value"] for point in either_bench.trials(sweep_id)[1]["intermediate_values"]] == [0.4, 0.4]
    messages = [event["message"] for event in either_bench.http.get(f"/jobs/{second.job_id}/events").json()["data"]]
    assert any("promises less than others" in message for message in messages)


def test_a_pruned_trial_whose_job_was_quicker_keeps_its_value(bench):
    sweep_id = bench.create(pruner={"type": "median", "n_startup_trials": 1}, num_trials=2)
    driving.drive(sweep_id)
    first = bench.claim()
    bench.evaluate(first, 0.5)
    bench.succeed(first, 0.5)
    driving.drive(sweep_id)
    second = bench.claim()
    bench.evaluate(second, 0.4)
    driving.drive(sweep_id)
    bench.succeed(second, 0.8)
    driving.drive(sweep_id)
    sweep = bench.sweep(sweep_id)
    assert (sweep["status"], sweep["best"]["trial"], sweep["best"]["value"]) == ("succeeded", 1, 0.8)


def test_a_trial_at_its_last_step_is_not_pruned(bench):
    sweep_id = bench.create(pruner={"type": "median", "n_startup_trials": 1}, num_trials=2)
    driving.drive(sweep_id)
    first = bench.claim()
    bench.evaluate(first, 0.5, max_steps=10)
    bench.succeed(first, 0.5)
    driving.drive(sweep_id)
    second = bench.claim()
    bench.evaluate(second, 0.4, max_steps=10)
    driving.drive(sweep_id)
    assert load_job(second.job_id).request is None


def test_rungs_of_successive_halving_are_remembered_between_looks(either_bench):
    pruner = {"type": "successive_halving", "min_resource": 1, "reduction_factor": 2}
    sweep_id = either_bench.create(pruner=pruner, num_trials=3, max_parallel=3)
    driving.drive(sweep_id)
    claims = [either_bench.claim() for _ in range(3)]
    asked = []
    for claim, value in zip(claims, (0.9, 0.8, 0.1), strict=True):
        either_bench.evaluate(claim, value)
        driving.drive(sweep_id)
        asked.append(load_job(claim.job_id).request)
    assert asked == [None, "cancel", "cancel"]


def test_a_failed_trial_is_told_and_the_study_goes_on(bench):
    sweep_id = bench.create(num_trials=2)
    driving.drive(sweep_id)
    bench.fail(bench.claim())
    bench.run_next(sweep_id, 0.5)
    sweep = bench.sweep(sweep_id)
    assert (sweep["status"], sweep["counts"]["failed"], sweep["best"]["trial"]) == ("succeeded", 1, 1)
    assert bench.trials(sweep_id)[0]["error"]["code"] == "loss_nan"


def test_many_failures_in_a_row_end_the_study_with_their_error(bench):
    sweep_id = bench.create(num_trials=20, max_parallel=2)
    for _ in range(MOST_FAILURES):
        driving.drive(sweep_id)
        bench.fail(bench.claim())
    driving.drive(sweep_id)
    sweep = bench.sweep(sweep_id)
    assert (sweep["status"], sweep["error"]["code"]) == ("failed", "loss_nan")
    assert "5 trials failed one after the other" in sweep["error"]["message"]
    assert "it was too cold" in sweep["error"]["message"]
    assert bench.trials(sweep_id)[-1]["state"] == "cancelled", "the one beside them is of no use any more"
    assert list(checker.check_all()) == []


def test_a_study_without_any_success_fails(bench):
    sweep_id = bench.create(num_trials=2)
    for _ in range(2):
        driving.drive(sweep_id)
        requests.cancel(bench.trials(sweep_id)[-1]["job_id"])
    driving.drive(sweep_id)
    sweep = bench.sweep(sweep_id)
    assert (sweep["status"], sweep["error"]["code"]) == ("failed", "no_trial_succeeded")
    assert [trial["state"] for trial in bench.trials(sweep_id)] == ["cancelled"] * 2


def test_a_trial_that_cannot_become_a_job_any_more_has_failed(bench):
    """Somebody has deleted the data behind the back of the API."""
    sweep_id = bench.create(num_trials=20)
    with transaction() as session:
        session.delete(session.get(File, bench.file_id))
    driving.drive(sweep_id)
    sweep = bench.sweep(sweep_id)
    assert (sweep["status"], sweep["counts"]["failed"]) == ("failed", MOST_FAILURES)
    assert {trial["job_id"] for trial in bench.trials(sweep_id)} == {None}


def test_cancelling_ends_what_runs_and_keeps_the_best(either_bench):
    sweep_id = either_bench.create(num_trials=10, max_parallel=2)
    best = either_bench.run_next(sweep_id, 0.5)
    running = either_bench.claim()
    answer = either_bench.http.post(f"/sweeps/{sweep_id}/cancel").json()
    assert (answer["status"], answer["request"]["action"]) == ("running", "cancel")
    driving.drive(sweep_id)
    assert either_bench.sweep(sweep_id)["status"] == "running", "the state changes when it is true"

    with transaction() as session:
        lifecycle.cancelled(session, running)
    driving.drive(sweep_id)
    sweep = either_bench.sweep(sweep_id)
    assert (sweep["status"], sweep["best"]["model"], sweep["counts"]["cancelled"]) == ("cancelled", best, 2)
    assert either_bench.http.post(f"/sweeps/{sweep_id}/cancel").status_code == 200
    assert either_bench.claim() is None


def test_cancelling_a_study_that_waits_ends_it_at_once(bench):
    sweep_id = bench.create()
    driving.drive(sweep_id)
    assert bench.http.post(f"/sweeps/{sweep_id}/cancel").json()["status"] == "cancelled"
    driving.drive(sweep_id)
    assert bench.claim() is None
    assert list(checker.check_all()) == []


def test_what_is_over_cannot_be_cancelled(bench):
    sweep_id = bench.create(num_trials=1)
    bench.run_next(sweep_id, 0.5)
    answer = bench.http.post(f"/sweeps/{sweep_id}/cancel")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "sweep_is_over")


def test_when_its_time_is_up_no_further_trial_begins(bench):
    sweep_id = bench.create(num_trials=10, max_runtime_seconds=1e-6)
    bench.run_next(sweep_id, 0.5)
    sweep = bench.sweep(sweep_id)
    assert (sweep["status"], sweep["counts"]["complete"], len(bench.trials(sweep_id))) == ("succeeded", 1, 1)


def test_parameters_get_their_importances_after_ten_trials(bench):
    space = {
        "training.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
        "training.weight_decay": {"low": 0, "high": 0.3},
    }
    sweep_id = bench.create(space=space, num_trials=10, max_parallel=10, sampler={"type": "random"})
    driving.drive(sweep_id)
    for trial in bench.trials(sweep_id):
        bench.succeed(bench.claim(), trial["params"]["training.learning_rate"])
    driving.drive(sweep_id)
    importances = bench.sweep(sweep_id)["importances"]
    assert sum(importances.values()) == pytest.approx(1)
    assert importances["training.learning_rate"] > importances["training.weight_decay"]


def test_data_and_model_of_an_unfinished_study_cannot_be_deleted(either_bench):
    sweep_id = either_bench.create()
    assert either_bench.http.delete(f"/files/{either_bench.file_id}").json()["error"]["code"] == "file_in_use"
    assert either_bench.http.delete("/models/tiny").json()["error"]["code"] == "model_in_use"
    either_bench.http.post(f"/sweeps/{sweep_id}/cancel")
    assert either_bench.http.delete(f"/files/{either_bench.file_id}").status_code == 200
    assert either_bench.http.delete("/models/tiny").status_code == 200


def test_a_sweeps_id_stands_for_the_model_of_its_best_trial(bench):
    sweep_id = bench.create(num_trials=2)
    with pytest.raises(Conflict, match="none of its trials has succeeded yet"):
        finding.resolve(sweep_id)
    first = bench.run_next(sweep_id, 0.5)
    assert finding.resolve(sweep_id).id == first
    second = bench.run_next(sweep_id, 0.9)
    assert finding.resolve(sweep_id).id == second


def test_of_hub_data_the_first_trainer_tells_the_metric(bench):
    """The hub does not answer here, so nothing is known of the data when the sweep is accepted."""
    job = {"model": "tiny", "dataset": {"name": "nyu-mll/glue", "config": "mrpc"}}
    sweep_id = bench.create(job=job, num_trials=2)
    assert (bench.sweep(sweep_id)["spec"]["metric"], bench.sweep(sweep_id)["spec"]["direction"]) == ("auto", "auto")
    driving.drive(sweep_id)
    first = bench.claim()
    resolved = load_job(first.job_id).spec
    resolved["training"] |= {"metric_for_best_model": "loss", "greater_is_better": False}
    with transaction() as session:
        lifecycle.write(session, first, spec=resolved)
    bench.succeed(first, 0.2, metric="eval/loss")
    driving.drive(sweep_id)
    bench.succeed(bench.claim(), 0.3, metric="eval/loss")
    driving.drive(sweep_id)
    sweep = bench.sweep(sweep_id)
    assert (sweep["spec"]["metric"], sweep["spec"]["direction"]) == ("eval/loss", "minimize")
    assert (sweep["status"], sweep["best"]["trial"]) == ("succeeded", 0)
    assert load_job(bench.trials(sweep_id)[1]["job_id"]).requested_spec["training"]["metric_for_best_model"] == "loss"


def test_trials_belong_to_the_project_of_their_sweep(bench):
    """The file and the model too: whose sweep is another's finds neither."""
    sweeps = {owner: bench.create() for owner in ("default", "proj-other")}
    with transaction() as session:
        session.get_one(Study, sweeps["proj-other"]).project_id = "proj-other"
    study_driver.once()  # as the thread does it, which works for nobody
    with reading() as session:
        begun = session.execute(select(Job.study_id, Job.project_id)).all()
        refused = session.scalars(select(Trial.error).where(Trial.study_id == sweeps["proj-other"])).all()
    assert begun == [(sweeps["default"], "default")]
    assert {error["code"] for error in refused} == {"file_not_found"}
