"""A sweep over a whole service: real trials, one best model, asked by the sweep's id."""

import pytest

from tests.road.tiny import reviews

pytestmark = pytest.mark.xdist_group("road")

TRAINING = {"num_train_epochs": 3, "per_device_train_batch_size": 16, "logging_steps": 5}


def test_a_sweep_finds_a_rate_that_learns_and_its_model_answers(service):
    body = {
        "job": {"model": "tiny-bert", "dataset": {"train": service.upload(reviews(160, seed=5)), "validation": 0.25},
                "training": TRAINING},
        "space": {"training.learning_rate": {"choices": [1e-7, 1e-2, 1e-6]}},
        "sampler": {"type": "grid"},
    }  # fmt: skip
    sweep_id = service.http.post("/sweeps", json=body).raise_for_status().json()["id"]
    sweep = service.wait_at(f"/sweeps/{sweep_id}", lambda found: found["finished_at"] is not None)
    assert (sweep["status"], sweep["error"]) == ("succeeded", None)
    trials = service.http.get(f"/sweeps/{sweep_id}/trials").json()["data"]
    assert sorted(trial["params"]["training.learning_rate"] for trial in trials) == [1e-7, 1e-6, 1e-2]
    assert sweep["best"]["params"] == {"training.learning_rate": 1e-2}
    best = service.job(sweep["best"]["job_id"])
    assert sweep["best"]["value"] == best["metrics"]["best"]["eval/f1"] == 1.0
    assert all(len(trial["intermediate_values"]) == 3 for trial in trials if trial["state"] == "complete")
    answer = service.http.post(
        "/predict", json={"model": sweep_id, "inputs": "this film seemed great and rather great again"}
    )
    assert answer.json()["model"] == best["model"]["id"] == sweep["best"]["model"]
    assert answer.json()["predictions"][0][0]["label"] == "praise"
    losers = [trial["job_id"] for trial in trials if trial["job_id"] != best["id"]]
    assert [service.job(job_id)["model"] for job_id in losers] == [None, None]
