"""Rows I3, I4 and A4 of the fault matrix: a 4xx that names the parameter, before a worker is taken."""

import json

import pytest

from app.db import reading
from app.job.models import Job
from tests.hub.builders import bert_folder
from tests.hub.fixtures import fake_hub  # noqa: F401

ROWS = b"".join(json.dumps({"text": f"text {n}", "label": n % 2}).encode() + b"\n" for n in range(20))


@pytest.fixture
def stocked(client, tmp_path):
    """A client of a service with one registered model and one uploaded file; gives the client and a good spec."""
    folder = bert_folder(tmp_path / "tiny")
    parts = [("files", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]
    assert client.post("/models", data={"name": "tiny"}, files=parts).status_code == 201
    file_id = client.post("/files", files={"file": ("data.jsonl", ROWS)}).json()["id"]
    return client, {"model": "tiny", "dataset": {"train": file_id}}


def merged(spec, change):
    return {
        **spec,
        **{
            k: {**spec[k], **v} if isinstance(v, dict) and isinstance(spec.get(k), dict) else v
            for k, v in change.items()
        },
    }


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"training": {"per_device_train_batch_size": 10**9}}, "training.per_device_train_batch_size"),
        ({"training": {"num_train_epochs": -1}}, "training.num_train_epochs"),
        ({"training": {"num_train_epochs": 10**12}}, "training.num_train_epochs"),
        ({"training": {"max_steps": 10**12}}, "training.max_steps"),
        ({"training": {"learning_rate": "fast"}}, "training.learning_rate"),
        ({"training": {"learning_rate": -1}}, "training.learning_rate"),
        ({"training": {"gradient_accumulation_steps": 2.5}}, "training.gradient_accumulation_steps"),
        ({"training": {"eval_strategy": "sometimes"}}, "training.eval_strategy"),
        ({"training": {"learnig_rate": 1e-5}}, "training.learnig_rate"),
        ({"resources": {"processes": 1000}}, "resources.processes"),
        ({"resources": {"gpus": 65}}, "resources.gpus"),
        ({"resources": {"fsdp": True}}, "resources.fsdp"),
        ({"resources": {"processes": 2, "fsdp": True}, "adapter": {"merge": False}}, "resources.fsdp"),
        ({"training": {"metric_for_best_model": "bleu"}}, "training.metric_for_best_model"),
        ({"training": {"class_weights": {"spam": 2.0}}}, "training.class_weights"),
        ({"trainng": {}}, "trainng"),
        ({"metrics": ["acuracy"]}, "metrics"),
        ({"task": "image-classification"}, "task"),
        ({"columns": {"text": "no_such_column"}}, "columns.text"),
        ({"columns": {"label": "no_such_column"}}, "columns.label"),
        ({"label_names": ["only one"]}, "label_names"),
        ({"dataset": {"train": "file-" + "0" * 32}}, "dataset.train"),
        ({"dataset": {"validation": 1.5}}, "dataset.validation"),
        ({"dataset": {"validation": "file-" + "0" * 32}}, "dataset.validation"),
        ({"dataset": {"train": "/etc/passwd"}}, "dataset"),
        ({"dataset": {"train": "../../etc/passwd"}}, "dataset"),
        ({"dataset": {"train": "file:///etc/passwd"}}, "dataset"),
        ({"dataset": {"train": "s3://bucket/key"}}, "dataset"),
        ({"dataset": {"train": "http://169.254.169.254/latest"}}, "dataset"),
        ({"model": "/etc/passwd"}, "model"),
        ({"model": "../tiny"}, "model"),
        ({"model": "%252e%252e/tiny"}, "model"),
        ({"model": "file:///etc"}, "model"),
        ({"model": "http://169.254.169.254/latest"}, "model"),
        ({"model": ""}, "model"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "\u0000"}}, None),
        ({"suffix": "a b"}, "suffix"),
    ],
)
def test_an_absurd_spec_is_refused_naming_the_parameter(stocked, change, param):
    client, spec = stocked
    answer = client.post("/jobs", json=merged(spec, change))
    assert answer.status_code == 422, answer.text
    body = answer.json()
    assert body["error"]["message"] == body["detail"] or body["detail"] in body["error"]["message"]
    if param is not None:
        assert body["error"]["param"].startswith(param)
    with reading() as session:
        assert session.query(Job).count() == 0


def test_a_misspelt_name_is_answered_with_the_nearest(stocked):
    client, spec = stocked
    answer = client.post("/jobs", json=merged(spec, {"training": {"learnig_rate": 1e-5}}))
    assert "training.learning_rate" in answer.json()["detail"]


def test_a_rate_that_is_no_number_is_refused(stocked):
    client, spec = stocked
    body = json.dumps(merged(spec, {"training": {"learning_rate": float("nan")}}))
    answer = client.post("/jobs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "training.learning_rate"


@pytest.mark.parametrize("body", ["{", "[]", "null", '"x"', "{" * 5, ""])
def test_a_body_that_is_no_spec_is_refused(client, body):
    assert client.post("/jobs", content=body, headers={"content-type": "application/json"}).status_code == 422


def test_deeply_nested_json_is_refused(client):
    body = '{"metadata":' * 50_000 + "1" + "}" * 50_000
    answer = client.post("/jobs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422, answer.text


def test_a_lone_surrogate_is_refused(stocked):
    client, spec = stocked
    body = json.dumps(merged(spec, {"metadata": {"k": "\ud800"}}))
    assert client.post("/jobs", content=body, headers={"content-type": "application/json"}).status_code == 422


@pytest.mark.parametrize("chunked", [False, True])
def test_a_huge_body_is_refused(client, chunked):
    body = b'{"model": "' + b"x" * 10_000_000 + b'"}'
    content = (body[i : i + 65536] for i in range(0, len(body), 65536)) if chunked else body
    answer = client.post("/jobs", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_a_form_post_is_refused(client):
    assert client.post("/jobs", data={"model": "tiny"}).status_code == 422


def test_validate_only_answers_the_whole_spec_and_stores_nothing(stocked):
    client, spec = stocked
    answer = client.post("/jobs", params={"validate_only": True}, json=spec)
    assert answer.status_code == 200
    assert answer.json()["spec"]["columns"] == {"text": "text", "text_pair": None, "label": "label"}
    with reading() as session:
        assert session.query(Job).count() == 0


@pytest.mark.parametrize(
    ("model", "code"),
    [("org/unknown", "model_not_found"), ("org/gated", "model_gated"), ("org/vision", "model_unsupported")],
)
def test_a_hub_model_that_cannot_be_tuned_is_refused(stocked, fake_hub, tmp_path, model, code):  # noqa: F811
    client, spec = stocked
    fake_hub.add_model("org/gated", bert_folder(tmp_path / "gated"), gated_for="a token nobody has")
    vision = bert_folder(tmp_path / "vision")
    (vision / "config.json").write_text(json.dumps({"model_type": "vit", "hidden_size": 16}))
    fake_hub.add_model("org/vision", vision)
    answer = client.post("/jobs", json={**spec, "model": model})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["param"] == "model"


def test_a_local_web_page_and_a_foreign_host_are_refused(client):
    assert client.get("/jobs", headers={"host": "evil.example"}).status_code == 403
    assert client.get("/jobs", headers={"origin": "https://evil.example"}).status_code == 403
    assert client.get("/jobs", headers={"origin": "http://localhost:8000"}).status_code == 200


def test_an_unknown_job_is_404_on_every_route(client):
    for path in ("", "/metrics", "/events", "/checkpoints", "/logs"):
        for job_id in ("ftjob-" + "0" * 32, "nonsense", "a%00b"):
            assert client.get(f"/jobs/{job_id}{path}").status_code == 404
    assert client.post("/jobs/ftjob-unknown/cancel").status_code == 404
