"""``POST /sweeps``: everything is checked and filled in at once."""

import pytest

RATE = {"low": 1e-5, "high": 1e-3, "log": True}


def refusal(bench, **changes):
    answer = bench.http.post("/sweeps", json=bench.body(**changes))
    assert answer.status_code == 422, answer.text
    assert bench.http.get("/sweeps").json()["data"] == []
    return answer.json()["error"]


def test_what_is_auto_is_chosen_and_written_back(bench):
    answer = bench.http.post("/sweeps", json={"job": bench.job, "space": {"training.learning_rate": RATE}})
    assert answer.status_code == 201
    sweep = answer.json()
    assert answer.headers["location"] == f"/sweeps/{sweep['id']}"
    spec = sweep["spec"]
    assert (spec["metric"], spec["direction"], spec["num_trials"]) == ("eval/f1", "maximize", 20)
    assert spec["sampler"] == {"type": "tpe", "seed": 42, "n_startup_trials": 10, "multivariate": True}
    assert (spec["pruner"]["type"], spec["pruner"]["n_startup_trials"]) == ("median", 5)
    assert spec["job"]["columns"]["text"] == "text"
    assert spec["job"]["label_names"] == ["0", "1"]
    assert spec["job"]["training"]["learning_rate"] == "auto", "each trial brings its own"
    assert sweep["counts"] == {"total": 20, "running": 0, "complete": 0, "pruned": 0, "failed": 0, "cancelled": 0}


def test_validating_stores_nothing(bench):
    answer = bench.http.post("/sweeps", params={"validate_only": True}, json=bench.body())
    assert (answer.status_code, answer.json()["valid"]) == (200, True)
    assert answer.json()["spec"]["metric"] == "eval/f1"
    assert bench.http.get("/sweeps").json()["data"] == []


SPACES = [
    ({"training.learning_rat": RATE}, "space.training.learning_rat", "did you mean training.learning_rate?"),
    ({"learning_rate": RATE}, "space.learning_rate", "did you mean training.learning_rate?"),
    ({"adapter.rank": {"low": 2, "high": 8}}, "space.adapter.rank", "no such field"),
    ({"dataset.validation": {"low": 0.1, "high": 0.3}}, "space.dataset.validation", "in common"),
    ({"training.eval_steps": {"low": 1, "high": 3}}, "space.training.eval_steps", "in common"),
    ({"priority": {"low": 1, "high": 3}}, "space.priority", "in common"),
    ({"training.seed": {"low": 1, "high": 3}}, "space.training.seed", "validation split"),
    ({"training.bf16": {"low": 0, "high": 1}}, "space.training.bf16", "give choices"),
    ({"training.learning_rate": {"low": 0, "high": 1e-3}}, "space.training.learning_rate", "greater than 0"),
    ({"training.learning_rate": {"low": 1e-3, "high": 1e-5}}, "space.training.learning_rate", "low must be below"),
    ({"training.learning_rate": {"low": 1e-5}}, "space.training.learning_rate", "give choices, or low and high"),
    ({"training.learning_rate": RATE | {"step": 1}}, "space.training.learning_rate", "no step"),
    ({"training.learning_rate": RATE | {"steps": 1}}, "space.training.learning_rate.steps", "unknown parameter"),
    ({"training.learning_rate": {"choices": [1e-5, "fast"]}}, "space.training.learning_rate", '"fast"'),
    ({"training.learning_rate": {"choices": [1e-5, 1e-5]}}, "space.training.learning_rate", "once"),
    ({"training.freeze_layers": {"low": 0.5, "high": 3}}, "space.training.freeze_layers", "whole numbers"),
    ({"training.weight_decay": {"low": 0, "high": 1, "step": 2}}, "space.training.weight_decay", "step"),
    ({"adapter.r": {"low": 2, "high": 8}, "adapter": {"choices": [None]}}, "space.adapter.r", "part of"),
    ({"model": {"choices": ["tiny", "../etc/passwd"]}}, "space.model", "not a path"),
    ({"training.label_smoothing_factor": {"low": 0, "high": 1}}, "space.training.label_smoothing_factor", "less"),
    ({}, "space", "at least 1"),
]
"""A space, the parameter that is named, and something that is said of it."""
OTHERS = [
    ({"metric": "eval/bleu"}, "metric", "accuracy, f1"),
    ({"metric": "eval/roc_auc"}, "metric", "Add it to job.metrics"),
    ({"metric": "test/f1"}, "metric", "test split"),
    ({"direction": "up"}, "direction", "maximize"),
    ({"num_trials": 0}, "num_trials", "1"),
    ({"max_parallel": 0}, "max_parallel", "1"),
    ({"sampler": {"type": "random", "n_startup_trials": 3}}, "sampler", "n_startup_trials is for tpe"),
    ({"sampler": {"type": "cmaes"}}, "sampler.type", "tpe"),
    ({"sampler": {"type": "grid"}}, "space.training.learning_rate", "a grid needs choices"),
    ({"pruner": {"type": "median", "reduction_factor": 3}}, "pruner", "successive_halving and hyperband"),
    ({"num_trial": 3}, "num_trial", "did you mean num_trials?"),
    ({"spaces": {}}, "spaces", "did you mean space?"),
]
"""The same with other members of the body."""


def test_a_mistake_is_refused_by_its_name(bench):
    told = []
    for changes, param, words in [*(({"space": space}, *rest) for space, *rest in SPACES), *OTHERS]:
        error = refusal(bench, **changes)
        if error["param"] != param or words not in error["message"]:
            told.append((changes, error))
    assert told == []


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"training": {"learning_rat": 1}}, "job.training.learning_rat"),
        ({"dataset": {"train": "file-" + "0" * 32}}, "job.dataset.train"),
        ({"columns": {"text": "no_such_column"}}, "job.columns.text"),
        ({"metrics": ["acuracy"]}, "job.metrics"),
    ],
)
def test_a_job_that_would_be_refused_is_refused_here(bench, change, param):
    error = refusal(bench, job=bench.job | change)
    assert error["param"] == param


def test_a_mistake_within_the_job_comes_with_the_nearest_name(bench):
    error = refusal(bench, job=bench.job | {"training": {"learning_rat": 1}})
    assert "did you mean job.training.learning_rate?" in error["message"]


def test_a_choice_that_fits_no_data_is_refused_by_its_place_in_the_space(bench):
    error = refusal(bench, space={"training.class_weights": {"choices": [None, {"spam": 2.0}]}})
    assert error["param"] == "space.training.class_weights"


def test_a_grid_is_no_larger_than_can_be_tried(bench):
    axis = {"low": 0, "high": 0.9, "step": 0.1}
    space = {
        f"training.{name}": axis for name in ("weight_decay", "adam_beta1", "adam_beta2", "label_smoothing_factor")
    }
    error = refusal(bench, space=space, sampler={"type": "grid"}, num_trials="auto")
    assert "10000 points" in error["message"]
    space = {"training.weight_decay": axis}
    assert "10 points" in refusal(bench, space=space, sampler={"type": "grid"}, num_trials=11)["message"]


def test_a_job_that_is_evaluated_at_its_end_alone_is_not_pruned(bench):
    job = bench.job | {"training": {"eval_strategy": "no"}}
    answer = bench.http.post("/sweeps", params={"validate_only": True}, json=bench.body(job=job))
    assert answer.json()["spec"]["pruner"]["type"] == "none"
    assert refusal(bench, job=job, pruner={"type": "hyperband"})["param"] == "pruner"


def test_the_same_request_under_the_same_key_makes_one_sweep(bench):
    headers = {"idempotency-key": "order-66"}
    first = bench.http.post("/sweeps", json=bench.body(), headers=headers)
    again = bench.http.post("/sweeps", json=bench.body(), headers=headers)
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (first.json()["id"], "true")
    other = bench.http.post("/sweeps", json=bench.body(num_trials=7), headers=headers)
    assert other.json()["error"]["code"] == "idempotency_key_reused"
    assert len(bench.http.get("/sweeps").json()["data"]) == 1
    lines = bench.http.get("/audit", params={"action": "sweep.create", "object_id": first.json()["id"]}).json()["data"]
    assert [line["status"] for line in lines] == [201, 201]


def test_sweeps_are_listed_newest_first_in_pages(bench):
    ids = [bench.create(metadata={"team": str(n)}) for n in range(3)]
    page = bench.http.get("/sweeps", params={"limit": 2}).json()
    assert ([sweep["id"] for sweep in page["data"]], page["has_more"]) == (ids[:0:-1], True)
    rest = bench.http.get("/sweeps", params={"after": page["last_id"]}).json()
    assert ([sweep["id"] for sweep in rest["data"]], rest["has_more"]) == (ids[:1], False)
    assert rest["data"][0]["metadata"] == {"team": "0"}
    assert bench.http.get("/sweeps", params={"status": "running"}).json()["data"] == []
    assert bench.http.get("/sweeps", params={"after": "sweep-1"}).json()["error"]["code"] == "invalid_cursor"


def test_an_unknown_sweep_is_not_found(bench):
    unknown = "sweep-" + "0" * 32
    for path in (f"/sweeps/{unknown}", f"/sweeps/{unknown}/trials", "/sweeps/x"):
        answer = bench.http.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "sweep_not_found")
    assert bench.http.post(f"/sweeps/{unknown}/cancel").status_code == 404
    answer = bench.http.post("/predict", json={"model": unknown, "inputs": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_no_model_can_be_registered_under_the_id_of_a_sweep(bench):
    answer = bench.http.post("/models", data={"name": "sweep-1"}, files=[("files", ("config.json", b"{}"))])
    assert answer.json()["error"]["code"] == "invalid_name"
