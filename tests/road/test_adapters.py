"""Adapters on one base, through HTTP alone: train, ask, download, train on, delete."""

import io
import zipfile
from pathlib import Path

import pytest

from tests.road.tiny import pairs, reviews

pytestmark = pytest.mark.xdist_group("road")

TRAINING = {"num_train_epochs": 12, "per_device_train_batch_size": 16, "learning_rate": 2e-2, "seed": 7}
LORA = {"type": "lora", "r": 8, "merge": False}


def finish(service, job_id):
    job = service.wait(job_id)
    assert job["status"] == "succeeded", (job["error"], service.logs(job_id))
    return job


@pytest.fixture(scope="module")
def jobs(service):
    """Two of a single text with words for labels, one of pairs with numbers, all on the same base."""
    data = {"dataset": {"train": service.upload(reviews(240, seed=6)), "validation": 0.25}}
    of_pairs = {"dataset": {"train": service.upload(pairs(160, seed=5))}}
    ids = [
        service.submit(model="tiny-bert", adapter=LORA | adapter, training=TRAINING | training, **rows)
        for rows, adapter, training in (
            (data, {}, {}),
            (data, {"use_dora": True}, {"num_train_epochs": 2}),
            (of_pairs, {}, {"num_train_epochs": 1}),
        )
    ]
    return [finish(service, job_id) for job_id in ids]


def ask(service, model, inputs):
    answer = service.http.post("/predict", json={"model": model, "inputs": inputs})
    assert answer.status_code == 200, answer.text
    return [{score["label"]: score["score"] for score in scores} for scores in answer.json()["predictions"]]


def artefacts(service) -> Path:
    return service.up.home / "artefacts"


def test_what_is_served_is_what_was_evaluated_and_the_models_are_small(service, jobs):
    assert jobs[0]["metrics"]["best"]["eval/accuracy"] > 0.9
    assert [set(ask(service, job["id"], "this film seemed great")[0]) for job in jobs] == [
        {"blame", "praise"}, {"blame", "praise"}, {"0", "1"},
    ]  # fmt: skip
    best, worst = ask(service, jobs[0]["id"], ["this film seemed great", "that meal felt awful"])
    assert best["praise"] > 0.5 > worst["praise"]
    models = [service.http.get(f"/models/{job['model']['id']}").json() for job in jobs]
    assert len({model["base_sha256"] for model in models}) == 1
    registered = service.http.get("/models/tiny-bert").json()
    assert models[0]["base_sha256"] == registered["weights_sha256"]
    assert [path.name for path in (artefacts(service) / "bases").iterdir()] == [models[0]["base_sha256"]]
    weights = {file["name"]: file["size_bytes"] for file in models[0]["files"] if "safetensors" in file["name"]}
    assert weights.keys() == {"adapter_model.safetensors"}
    assert jobs[0]["report"]["adapter"]["size_bytes"] == weights["adapter_model.safetensors"]


def test_the_download_loads_as_its_readme_says_and_answers_the_same(service, jobs, tmp_path):
    import torch

    archive = service.http.get(f"/models/{jobs[1]['model']['id']}/download")
    zipfile.ZipFile(io.BytesIO(archive.content)).extractall(tmp_path)
    (folder,) = tmp_path.iterdir()
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0].replace("FOLDER", str(folder))
    loaded = {}
    exec(code, loaded)
    texts = [row["text"] for row in reviews(20, seed=9)]
    with torch.no_grad():
        logits = loaded["model"].eval()(**loaded["tokenizer"](texts, padding=True, return_tensors="pt")).logits
    assert logits.std(dim=0).min() > 1e-3
    for row, scores in zip(logits.softmax(dim=-1).tolist(), ask(service, jobs[1]["id"], texts), strict=True):
        assert scores == pytest.approx(dict(zip(("blame", "praise"), row, strict=True)), abs=1e-4)


def test_a_job_goes_on_from_an_adapter(service, jobs):
    texts = [row["text"] for row in reviews(20, seed=9)]
    expected = ask(service, jobs[0]["id"], texts)
    data = {"train": service.upload(reviews(60, seed=12)), "validation": 0.25}
    gently = TRAINING | {"num_train_epochs": 1, "learning_rate": 1e-9}
    job = finish(service, service.submit(model=jobs[0]["model"]["id"], dataset=data, training=gently))
    for found, told in zip(ask(service, job["id"], texts), expected, strict=True):
        assert found == pytest.approx(told, abs=5e-3)  # whole models are served in bfloat16
    assert service.http.get(f"/models/{job['model']['id']}").json()["base_sha256"] is None


def test_deleting_one_leaves_the_others_their_base_and_a_damaged_base_is_told(service, jobs):
    assert service.http.delete(f"/models/{jobs[2]['model']['id']}").status_code == 200
    assert service.http.post("/predict", json={"model": jobs[2]["id"], "inputs": "good"}).status_code == 404
    assert ask(service, jobs[0]["id"], "this film seemed great")
    model_id = jobs[1]["model"]["id"]
    base = artefacts(service) / "bases" / service.http.get(f"/models/{model_id}").json()["base_sha256"]
    base.rename(base.with_name("elsewhere"))
    try:
        answer = service.http.get(f"/models/{model_id}/download")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "artifact_corrupt")
        answer = service.http.post(
            "/jobs", json={"model": model_id, "dataset": {"train": service.upload(reviews(40, seed=3))}}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "artifact_corrupt")
    finally:
        base.with_name("elsewhere").rename(base)
    assert ask(service, model_id, "this film seemed great")
