"""Row A7 of the fault matrix: whatever is asked, the answer is no 5xx. These are finds of a fuzzer, one of each kind."""

import base64

import pytest

from tests.job.conftest import insert_job


def code_of(response):
    body = response.json()
    assert body["status"] == response.status_code
    return response.status_code, body["error"]["code"]


@pytest.mark.parametrize("header", ["host", "origin"])
@pytest.mark.parametrize("value", ["http://[", "[", "[]", "http://[]", "http://[x]/", "]", "http://evil.example]"])
def test_a_malformed_host_or_origin_is_not_allowed(client, header, value):
    status, code = code_of(client.get("/health/live", headers={header: value}))
    assert (status, code) in {(403, "host_not_allowed"), (403, "origin_not_allowed")}


@pytest.mark.parametrize(
    ("path", "after"),
    [
        ("events", "ftevent-x-" + "9" * 60),
        ("events", "ftevent-x-²"),
        ("events", "ftevent-5"),
        ("metrics", base64.urlsafe_b64encode(b"9" * 30).decode()),
        ("metrics", base64.urlsafe_b64encode(b"-1").decode()),
        ("logs", "²:0"),
        ("logs", "1:²"),
        ("logs", "1:" + "9" * 40),
        ("logs", ""),
    ],
)
def test_a_cursor_that_is_none_is_refused(either_client, path, after):
    job_id = insert_job()
    answer = either_client.get(f"/jobs/{job_id}/{path}", params={"after": after})
    assert code_of(answer) == (422, "invalid_cursor")


def test_a_stream_from_an_event_that_is_none_is_refused(client):
    headers = {"accept": "text/event-stream", "last-event-id": "ftevent-x-" + "9" * 60}
    assert code_of(client.get(f"/jobs/{insert_job()}/events", headers=headers)) == (422, "invalid_cursor")


def test_a_model_with_a_nul_in_its_name_is_not_there(either_client):
    for path in ("/models/a%00b", "/models/a%00b/download"):
        assert code_of(either_client.get(path)) == (404, "model_not_found")
    assert code_of(either_client.delete("/models/a%00b")) == (404, "model_not_found")
    assert code_of(either_client.get("/models", params={"after": "a\0b"})) == (422, "unknown_cursor")


def test_the_training_data_cannot_be_left_to_be_found(client):
    answer = client.post("/jobs", json={"model": "a/b", "dataset": {"train": "auto"}})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"].startswith("dataset")


@pytest.mark.parametrize("key", ['a"b', "a\\b", "$.a", "a.b", "0", "'", "é", " "])
def test_jobs_are_found_by_a_note_whatever_its_name(either_client, key):
    job_id = insert_job(job_metadata={key: "x"})
    insert_job(job_metadata={key: "y", "other": "x"})
    insert_job(job_metadata={})
    answer = either_client.get("/jobs", params={f"metadata[{key}]": "x"})
    assert [job["id"] for job in answer.json()["data"]] == [job_id]


def test_every_refusal_that_is_described_is_the_one_that_is_sent(client):
    described = client.get("/openapi.json").json()["paths"]
    answers = [route["responses"] for methods in described.values() for route in methods.values()]
    assert answers
    assert "HTTPValidationError" not in str(answers), "it is FastAPI's own, which is never sent"
    assert client.get("/jobs/" + "x" * 65).json()["error"]["code"] == "invalid_value"


@pytest.mark.parametrize("path", ["/predict", "/jobs", "/models/ft:tiny/predict"])
def test_a_form_is_taken_only_where_files_are(client, path):
    """Elsewhere its whole body would be read into memory before it is refused."""
    response = client.post(path, files={"file": ("a.jsonl", b"x" * 1000)})
    assert response.status_code == 422
    assert "multipart/form-data" in response.text
    assert "application/json" in response.text


@pytest.mark.parametrize("name", ["x-mine", "a[0]", "str", "modell"])
def test_an_unknown_name_is_told_whatever_it_looks_like(client, name):
    answer = client.post("/projects", json={"name": "ours", name: 1})
    assert code_of(answer) == (422, "unknown_parameter")
    assert answer.json()["error"]["param"] == name


@pytest.mark.parametrize("value", [{}, [], ["none"], 1, "none"])
def test_a_way_to_join_entities_that_there_is_not_is_refused(client, value):
    answer = client.post("/models/ft:tiny", json={"inputs": "a", "parameters": {"aggregation_strategy": value}})
    assert answer.status_code == 422
    assert "parameters.aggregation_strategy" in answer.json()["param"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/projects/default", {"max_event_streams": False}, "max_event_streams"),
        ("/keys", {"name": "a", "expires_in_seconds": True}, "expires_in_seconds"),
        ("/jobs", {"training": {"weight_decay": False}}, "training.weight_decay"),
        ("/jobs", {"training": {"learning_rate": "0.1"}}, "training.learning_rate"),
        ("/jobs", {"adapter": {"lora_dropout": False}}, "adapter.lora_dropout"),
        ("/jobs", {"resources": {"gpu_memory": True}}, "resources.gpu_memory"),
    ],
)
def test_neither_a_yes_nor_a_text_is_a_number(client, path, body, param):
    job = {"model": "a/b", "dataset": {"train": f"file-{0:032}"}} if path == "/jobs" else {}
    answer = client.post(path, json=job | body)
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/jobs", "GET, POST"), ("/hub-token", "DELETE, GET, PUT"), ("/models/a/b", "DELETE, GET, POST")],
)
def test_with_a_wrong_method_all_right_ones_are_told(client, path, methods):
    answer = client.patch(path)
    assert code_of(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"] == methods
