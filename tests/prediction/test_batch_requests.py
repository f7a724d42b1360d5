"""``POST /predict/batch`` before any worker runs: what is understood of a file, and what is refused, with its row."""

import json

import pytest

from app.db import transaction
from app.job import service as jobs
from app.job.models import Job
from app.job.states import JobStatus
from tests.contract.endpoints import make_chatter
from tests.job.conftest import insert_job
from tests.prediction.test_predict_answers import OPTIONS
from tests.prediction.test_predict_api import sealed_by
from tests.road.finished import SINGLE, build

TEXTS = [{"text": "the cat sat", "other": "x"}, {"text": "the dog ran", "other": "y"}]


def upload(client, rows, name="in.jsonl"):
    content = "".join(json.dumps(row) + "\n" for row in rows)
    answer = client.post("/files", files={"file": (name, content)})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


@pytest.fixture
def single(publish):
    return publish("single", **SINGLE)[0]


@pytest.fixture
def pairs(publish):
    return publish("pairs")[0]


@pytest.fixture
def submit(client):
    def post(model, rows, **more):
        return client.post("/predict/batch", json={"model": model, "file": upload(client, rows), **more})

    return post


def refused(answer):
    assert answer.status_code in {409, 404, 422}, answer.text
    body = answer.json()
    row = next((problem["row"] for problem in body["errors"]), None)
    return body["error"]["code"], body["error"]["param"], row


def columns(answer):
    assert answer.status_code == 201, answer.text
    found = answer.json()["spec"]["columns"]
    return found["text"], found["text_pair"]


def test_the_answer_is_a_job_with_the_model_and_columns_that_were_meant(client, submit, single):
    answer = submit(single, TEXTS, priority=3, metadata={"team": "nlp"}, parameters={"top_k": 1})
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert (job["kind"], job["status"], job["result_files"], job["model"]) == ("prediction", "queued", [], None)
    assert job["spec"]["model"].startswith("ft:")
    assert (job["spec"]["priority"], job["metadata"], job["spec"]["parameters"]["top_k"]) == (3, {"team": "nlp"}, 1)
    assert job["progress"]["max_steps"] == 2
    for filters, number in (({"kind": "prediction"}, 1), ({"kind": "training"}, 1), ({"kind": "export"}, 0)):
        assert len(client.get("/jobs", params=filters).json()["data"]) == number, "one trained the model"
    assert client.get("/jobs", params={"kind": "dance"}).status_code == 422


@pytest.mark.parametrize(
    ("rows", "asked", "found"),
    [
        ([{"sentence1": "a", "sentence2": "b", "x": "c"}], {}, ("sentence1", "sentence2")),
        ([{"premise": "a", "hypothesis": "b", "id": "c"}], {}, ("premise", "hypothesis")),
        ([{"sentence1": "a", "x": "c"}], {}, ("sentence1", None)),
        ([{"sentence1": "a", "sentence2": "b"}], {"text": "sentence2", "text_pair": "sentence1"}, ("sentence2", "sentence1")),
        ([{"sentence1": "a", "sentence2": "b"}], {"text_pair": None}, ("sentence1", None)),
        ([{"sentence1": "a", "sentence2": None}, {"sentence1": "a", "sentence2": "b"}], {}, ("sentence1", "sentence2")),
        ([{"anything": "a", "label": 1}], {}, ("anything", None)),
    ],
)  # fmt: skip
def test_columns_are_those_of_the_training_data_else_those_that_can_be_meant(submit, pairs, rows, asked, found):
    assert columns(submit(pairs, rows, columns=asked)) == found


def test_questions_words_and_chats_are_found_too(submit, publish, tmp_path):
    reader = publish("reader", **OPTIONS)[0]
    rows = [{"question": "who", "passage": "the cat"}]
    assert columns(submit(reader, rows)) == ("question", "passage")
    tagger = publish("tagger", build=lambda folder, **_: _sealed("tags", folder))[0]
    assert columns(submit(tagger, [{"words": ["the", "cat"], "id": "x"}])) == ("words", None)
    writer = publish("writer", build=lambda folder, **_: _sealed("text", folder))[0]
    assert columns(submit(writer, [{"prompt": "a", "completion": "b"}])) == ("prompt", None)
    chatter = publish("chatter", build=lambda folder, **_: sealed_by(make_chatter, folder))[0]
    assert columns(submit(chatter, [{"messages": [{"role": "user", "content": "hi"}]}])) == ("messages", None)


def test_messages_are_refused_for_a_model_that_was_not_tuned_on_chats(submit, publish):
    writer = publish("writer", build=lambda folder, **_: _sealed("text", folder))[0]
    rows = [{"messages": [{"role": "user", "content": "hi"}], "note": "a text"}]
    for asked in ({}, {"text": "messages"}):
        assert refused(submit(writer, rows, columns=asked)) == ("invalid_messages", "columns.text", None)
    assert columns(submit(writer, rows, columns={"text": "note"})) == ("note", None)


def _sealed(task, folder):
    from app.manifest import seal
    from tests.predictor.tiny_models import TinyModel

    sealed = seal(build(task, folder), about={})
    return TinyModel(id=task, folder=folder, manifest_sha256=sealed.sha256)


@pytest.mark.parametrize(
    ("rows", "more", "error"),
    [
        ([*TEXTS, {"text": None}], {}, ("null_text", "file", 3)),
        ([*TEXTS, {"text": " "}], {}, ("empty_text", "file", 3)),
        ([*TEXTS, {"text": 4}], {}, ("text_not_string", "file", 3)),
        ([*TEXTS, {"other": "x"}], {}, ("null_text", "file", 3)),
        (TEXTS, {"columns": {"text": "absent"}}, ("missing_column", "columns.text", None)),
        (TEXTS, {"columns": {"text_pair": "other"}}, ("pair_not_supported", "columns.text_pair", None)),
        ([{"a": "x", "b": "y"}], {}, ("ambiguous_columns", "columns.text", None)),
        (TEXTS, {"parameters": {"max_new_tokens": 3}}, ("invalid_input", "parameters.max_new_tokens", None)),
        (TEXTS, {"parameters": {"max_answer_len": 3}}, ("invalid_input", "parameters.max_answer_len", None)),
        (TEXTS, {"parameters": {"top_k": 0}}, ("invalid_value", "parameters.top_k", None)),
        (TEXTS, {"resources": {"nodes": 2}}, ("unknown_parameter", "resources", None)),
        (TEXTS, {"metadata": {"a": "\0"}}, ("invalid_value", None, None)),
    ],
)
def test_what_cannot_be_predicted_is_refused_with_its_row(submit, single, rows, more, error):
    assert refused(submit(single, rows, **more)) == error


def test_a_question_needs_a_context_in_every_row(submit, publish):
    reader = publish("reader", **OPTIONS)[0]
    rows = [{"question": "a", "context": "b"}, {"question": "a", "context": None}]
    assert refused(submit(reader, rows)) == ("null_text", "file", 2)
    assert refused(submit(reader, [{"question": "a"}])) == ("missing_column", "columns.text_pair", None)
    assert refused(submit(reader, rows[:1], parameters={"threshold": 0.5}))[:2] == (
        "invalid_input",
        "parameters.threshold",
    )


def test_a_model_that_cannot_be_asked_is_refused_as_by_predict(client, submit, single):
    body = {"model": submit(single, TEXTS).json()["id"], "inputs": "x"}
    assert refused(client.post("/predict", json=body)) == refused(submit(body["model"], TEXTS))
    running = insert_job(status=JobStatus.RUNNING)
    assert refused(submit(running, TEXTS))[0] == "model_not_ready"
    assert refused(submit("ft:no:such:model:1", TEXTS))[0] == "model_not_found"
    assert refused(submit("../etc", TEXTS))[1] == "model"


def test_file_and_model_stay_while_a_job_needs_them(client, single):
    file_id = upload(client, TEXTS)
    job = client.post("/predict/batch", json={"model": single, "file": file_id}).json()
    assert client.delete(f"/files/{file_id}").json()["error"]["code"] == "file_in_use"
    assert client.delete(f"/models/{job['spec']['model']}").json()["error"]["code"] == "model_in_use"
    assert client.post(f"/jobs/{job['id']}/cancel").json()["status"] == "cancelled"
    assert client.delete(f"/files/{file_id}").status_code == 200
    again = client.post("/predict/batch", json={"model": single, "file": file_id})
    assert refused(again) == ("file_not_found", "file", None)


def test_it_is_paused_retried_and_sent_twice_like_any_job_but_has_no_best_model_to_keep(client, single):
    body = {"model": single, "file": upload(client, TEXTS), "parameters": {"top_k": 1}}
    headers = {"idempotency-key": "one"}
    job = client.post("/predict/batch", json=body, headers=headers).json()
    assert client.post("/predict/batch", json=body, headers=headers).json()["id"] == job["id"]
    assert refused(client.post(f"/jobs/{job['id']}/stop"))[0] == "nothing_to_keep"
    assert client.post(f"/jobs/{job['id']}/pause").json()["status"] == "paused"
    assert client.post(f"/jobs/{job['id']}/resume").json()["status"] == "queued"
    client.post(f"/jobs/{job['id']}/cancel")
    again = client.post(f"/jobs/{job['id']}/retry", json={"parameters": {"top_k": 2}}).json()
    assert (again["kind"], again["retry_of"], again["spec"]["parameters"]["top_k"]) == ("prediction", job["id"], 2)
    assert again["spec"]["file"] == body["file"]


def test_nothing_is_foretold_of_a_prediction_from_jobs_that_trained(client, single):
    """Nor the other way round: what predictions took says nothing of training."""
    from tests.job.test_forecast import a_worker, of, succeeded

    job = client.post("/predict/batch", json={"model": single, "file": upload(client, TEXTS)}).json()
    model = job["spec"]["model"]
    with transaction() as session:
        session.get_one(Job, single).spec = of(model)["spec"]
    succeeded(model, seconds=300)
    a_worker(1)
    assert jobs.get_job(job["id"]).estimated_finish_at is None
    with transaction() as session:
        row = session.get_one(Job, job["id"])
        row.status, row.started_at, row.finished_at = JobStatus.SUCCEEDED, row.created_at, row.created_at
    waiting = insert_job(**of(model))
    assert jobs.get_job(waiting).estimated_finish_at is not None
    assert jobs.get_job(insert_job(**of("unheard-of"))).estimated_finish_at is None
