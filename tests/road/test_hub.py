"""A job that names a model and a data set of the Hub, through the whole service."""

from tests.hub import builders
from tests.hub.fixtures import fake_hub
from tests.road.conftest import Service
from tests.stack.processes import Up

__all__ = ["fake_hub"]


def test_a_job_on_a_hub_model_and_a_hub_data_set(fake_hub, encoder, tmp_path):
    fake_hub.add_model("acme/tiny", encoder)
    glue = fake_hub.add_dataset("nyu-mll/glue", files=builders.glue_files(), configs=builders.GLUE_CONFIGS)
    up = Up(tmp_path / "home")
    try:
        service = Service(up, up.wait_ready())
        job_id = service.submit(
            model="acme/tiny",
            dataset={"name": "nyu-mll/glue", "config": "mrpc"},
            training={"num_train_epochs": 1},
            metrics="glue/mrpc",
        )
        job = service.wait(job_id)
        assert job["status"] == "succeeded", (job["error"], service.logs(job_id))
        assert job["spec"]["dataset"]["revision"] == glue.commit, "the data set is pinned, as the model is"
        assert job["report"]["labels"] == builders.NAMES
        question = {"text": "the cat sat", "text_pair": "the dog ran"}
        answer = service.http.post("/predict", json={"model": job_id, "inputs": question}).raise_for_status().json()
        assert {score["label"] for score in answer["predictions"][0]} == set(builders.NAMES)
        unknown = service.http.post("/jobs", json={"model": "acme/none", "dataset": {"name": "nyu-mll/glue"}})
        assert (unknown.status_code, unknown.json()["error"]["param"]) == (422, "model")
    finally:
        up.clean_up()
