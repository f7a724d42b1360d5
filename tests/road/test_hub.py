"""A job that names a model and a data set of the Hub, through the whole service."""

import pytest

from tests.hub import builders


@pytest.mark.xdist_group("reader")
def test_a_job_on_a_hub_model_and_a_hub_data_set(reader):
    service = reader.service
    job_id = service.submit(
        model="google-bert/bert-base-uncased",
        dataset={"name": "nyu-mll/glue", "config": "mrpc"},
        training={"num_train_epochs": 1},
        metrics="glue/mrpc",
    )
    job = service.wait(job_id)
    assert job["status"] == "succeeded", (job["error"], service.logs(job_id))
    assert job["spec"]["dataset"]["revision"] == reader.glue.commit, "the data set is pinned, as the model is"
    assert job["report"]["labels"] == builders.NAMES
    question = {"text": "the cat sat", "text_pair": "the dog ran"}
    answer = service.http.post("/predict", json={"model": job_id, "inputs": question}).raise_for_status().json()
    assert {score["label"] for score in answer["predictions"][0]} == set(builders.NAMES)
    unknown = service.http.post("/jobs", json={"model": "acme/none", "dataset": {"name": "nyu-mll/glue"}})
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (422, "model")
