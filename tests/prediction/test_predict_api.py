import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app.job.states import JobStatus
from app.manifest import read_manifest
from app.spec.serving import SERVING_FILE
from tests.contract.endpoints import make_chatter, make_translator
from tests.job.conftest import insert_job
from tests.predictor.tiny_models import TinyModel, make_model
from tests.predictor.tiny_writers import make_writer
from worker.predictor.decode import label_scores
from worker.predictor.engine import LoadedModel


def ask(client, model, inputs="the cat sat", **parameters):
    return client.post("/predict", json={"model": model, "inputs": inputs, "parameters": parameters})


def sealed_by(make, folder):
    make(folder)
    return TinyModel(id=folder.name, folder=folder, manifest_sha256=read_manifest(folder).sha256)


def problem(response):
    body = response.json()
    return response.status_code, body["error"]["code"], body["error"]["param"]


def test_a_finished_model_answers_by_job_model_and_checkpoint_id(client, predictor, publish):
    job_id, model_id, folder = publish()
    answers = [ask(client, reference) for reference in (job_id, model_id, f"{model_id}:ckpt-step-80")]
    model = LoadedModel.load(folder)
    (expected,) = label_scores(model.logits([("the cat sat", None)]), labels=model.spec.labels)
    for answer in answers:
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["model"] == model_id
        assert body["predictions"] == [
            [{"label": label, "score": pytest.approx(score, abs=1e-5)} for label, score in expected]
        ]
        assert body["usage"] == {"tokens": 5, "truncated": [False]}
        assert set(body["timings"]) == {"queue_ms", "inference_ms"}
    headers = {
        name: float(answers[-1].headers[f"x-{name}-time"]) for name in ("total", "tokenization", "queue", "inference")
    }
    assert headers["total"] >= headers["inference"] > 0


def test_texts_pairs_and_lists_are_answered_in_their_order(client, predictor, publish):
    job_id, _, _ = publish()
    pair = {"text": "the cat sat", "text_pair": "a dog ran"}
    inputs = ["happy", pair, {"text": "sad"}, "😀 \u2028", "never " * 99, ""]
    batch = ask(client, job_id, inputs).json()
    assert [len(scores) for scores in batch["predictions"]] == [3] * 6
    assert batch["usage"]["truncated"] == [False, False, False, False, True, False]
    for single, scores in zip(inputs, batch["predictions"], strict=True):
        alone = ask(client, job_id, single).json()["predictions"]
        assert alone == [[{**item, "score": pytest.approx(item["score"], abs=1e-5)} for item in scores]]
    assert ask(client, job_id, [pair] * 64).status_code == 200


def test_a_model_of_several_labels_scores_each_by_itself_and_0_5_is_the_threshold(client, predictor, publish):
    job_id, _, folder = publish("tags", problem_type="multi_label_classification", seed=3)
    (logits,) = LoadedModel.load(folder).logits([("the cat sat", None)])
    expected = dict(zip(("negative", "neutral", "positive"), 1 / (1 + np.exp(-logits.astype(float))), strict=True))
    (scores,) = ask(client, job_id).json()["predictions"]
    assert {item["label"]: item["score"] for item in scores} == pytest.approx(expected, abs=1e-6)
    assert [item["score"] for item in scores] == sorted((item["score"] for item in scores), reverse=True)
    (chosen,) = ask(client, job_id, threshold=0.5).json()["predictions"]
    assert {item["label"] for item in chosen} == {label for label, score in expected.items() if score >= 0.5}
    assert 0 < len(chosen) < 3, "the model must give some labels and not others, or this test shows little"
    (softmax,) = ask(client, job_id, function_to_apply="softmax").json()["predictions"]
    assert sum(item["score"] for item in softmax) == pytest.approx(1)


def test_a_regression_answers_with_its_number(client, predictor, publish):
    job_id, _, folder = publish("stars", problem_type="regression", labels=["score"])
    ((logit,),) = LoadedModel.load(folder).logits([("the cat sat", None)])
    assert ask(client, job_id).json()["predictions"] == [[{"label": "score", "score": pytest.approx(logit, abs=1e-5)}]]


def test_a_model_from_before_there_were_other_problems_is_served_as_one_of_classes(client, predictor, publish):
    job_id, _, folder = publish("old", without=("problem_type",))
    assert "problem_type" not in (folder / SERVING_FILE).read_text()
    (scores,) = ask(client, job_id).json()["predictions"]
    assert sum(item["score"] for item in scores) == pytest.approx(1)


def test_parameters_shape_the_scores(client, predictor, publish):
    job_id, _, folder = publish()
    raw = ask(client, job_id, function_to_apply="none").json()["predictions"][0]
    (logits,) = LoadedModel.load(folder).logits([("the cat sat", None)])
    assert [item["score"] for item in raw] == pytest.approx(sorted(logits.tolist(), reverse=True), abs=1e-5)
    assert len(ask(client, job_id, top_k=1).json()["predictions"][0]) == 1
    best = ask(client, job_id).json()["predictions"][0][0]
    assert ask(client, job_id, threshold=best["score"] - 1e-4).json()["predictions"] == [
        [{"label": best["label"], "score": pytest.approx(best["score"], abs=1e-5)}]
    ]
    assert ask(client, job_id, threshold=1.5).json()["predictions"] == [[]]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (JobStatus.QUEUED, "model_not_ready"),
        (JobStatus.RUNNING, "model_not_ready"),
        (JobStatus.PAUSED, "model_not_ready"),
        (JobStatus.FAILED, "job_has_no_model"),
        (JobStatus.CANCELLED, "job_has_no_model"),
    ],
)
def test_a_job_without_a_model_is_a_conflict_that_says_why(client, status, code):
    response = ask(client, insert_job(status=status))
    assert problem(response) == (409, code, "model")
    assert status in response.json()["detail"]


def test_what_is_not_there_is_not_found(client, publish):
    _, model_id, _ = publish()
    for reference in ("ftjob-" + "0" * 32, "ft:a:b:c:d", "ft:a:b:c:d:ckpt-step-3", "nobody/nothing", "ftjob-nope"):
        assert problem(ask(client, reference)) == (404, "model_not_found", "model")
    assert problem(ask(client, f"{model_id}:ckpt-step-81")) == (404, "checkpoint_not_published", "model")


@pytest.mark.parametrize(
    "reference", ["/etc/passwd", "../models/tiny", "file:///etc/passwd", "s3://bucket/model", "a/../b", "\x00"]
)
def test_a_model_is_never_named_by_a_path(client, reference):
    assert problem(ask(client, reference))[::2] == (422, "model")


def test_a_base_model_can_not_be_asked(client, publish):
    _, name, folder = publish("base", kind="registered")
    (folder / "tunery.json").unlink()
    assert problem(ask(client, name)) == (422, "model_not_servable", "model")


@pytest.mark.parametrize(
    ("inputs", "param"),
    [
        ([], "inputs"),
        (None, "inputs"),
        (7, "inputs"),
        (["fine", 7], "inputs.1"),
        ([["a", "b"]], "inputs.0"),
        ({"text_pair": "b"}, "inputs.text"),
        ({"text": "a", "text_pair": 1}, "inputs.text_pair"),
        ([{"text": "a", "second": "b"}], "inputs.0.second"),
    ],
)
def test_odd_inputs_are_refused_naming_the_place(client, inputs, param):
    response = ask(client, "ftjob-x", inputs)
    assert problem(response)[::2] == (422, param)
    assert len(response.json()["errors"]) == 1


@pytest.mark.parametrize(
    "content",
    [
        b'{"model": "ftjob-x", "inputs": "\\ud83d"}',
        b'{"model": "ftjob-x", "inputs": ["a", {"text": "a", "text_pair": "\\ud83d"}]}',
        b'{"model": "ftjob-\\ud83d", "inputs": "a"}',
    ],
)
def test_a_lone_surrogate_is_no_text(client, content):
    response = client.post("/predict", content=content, headers={"content-type": "application/json"})
    assert response.status_code == 422


@pytest.mark.parametrize(
    "parameters",
    [{"top_k": 0}, {"top_k": True}, {"top_k": 1.5}, {"function_to_apply": "tanh"}, {"threshold": "high"}, {"topk": 1}],
)
def test_odd_parameters_are_refused(client, parameters):
    status, _, param = problem(ask(client, "ftjob-x", **parameters))
    assert (status, param) == (422, f"parameters.{next(iter(parameters))}")


def test_too_much_is_refused(client):
    assert problem(ask(client, "ftjob-x", ["a"] * 65)) == (422, "too_many_inputs", "inputs")
    assert problem(ask(client, "ftjob-x", ["a", "é" * (2**19 + 1)])) == (413, "text_too_large", "inputs[1]")


def test_a_megabyte_of_text_is_answered(client, predictor, publish):
    job_id, _, _ = publish()
    answer = ask(client, job_id, "a cat " * (2**20 // 6))
    assert answer.json()["usage"] == {"tokens": 32, "truncated": [True]}


def test_a_second_text_for_a_model_of_single_texts_is_refused(client, predictor, publish):
    job_id, _, _ = publish(text_fields=("text",))
    response = ask(client, job_id, ["a", {"text": "a", "text_pair": "b"}])
    assert problem(response) == (422, "invalid_input", "inputs[1].text_pair")


@pytest.mark.parametrize(
    "build",
    [make_model, make_writer, lambda folder: sealed_by(make_translator, folder)],
    ids=["classifier", "plain writer", "encoder-decoder"],
)
def test_messages_are_for_models_that_were_tuned_on_chats(client, predictor, publish, build):
    job_id, _, _ = publish("no-chats", build=build)
    chat = {"messages": [{"role": "user", "content": "one two"}]}
    expected = (422, "invalid_input", "inputs[1].messages")
    assert problem(ask(client, job_id, ["one", chat])) == expected
    streamed = client.post("/predict", json={"model": job_id, "inputs": chat, "stream": True})
    assert problem(streamed) == (422, "invalid_input", "inputs[0].messages")
    assert "not tuned on chats" in streamed.json()["detail"]
    assert ask(client, job_id, '{"messages":[]} is a text').status_code == 200


def test_a_model_that_was_tuned_on_chats_takes_messages_and_texts(client, predictor, publish):
    job_id, _, _ = publish("chats", build=lambda folder: sealed_by(make_chatter, folder))
    chat = {"messages": [{"role": "user", "content": "one two"}]}
    found, same = ask(client, job_id, [chat, "one two"], max_new_tokens=4).json()["predictions"]
    assert found == same


def test_a_corrupt_model_is_unavailable_and_never_answers_wrongly(client, predictor, publish):
    job_id, _, folder = publish()
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 0x10
    weights.write_bytes(content)
    assert problem(ask(client, job_id))[:2] == (503, "artifact_corrupt")
    shutil.rmtree(folder)
    assert problem(ask(client, job_id))[:2] == (503, "artifact_corrupt")


def test_without_a_predictor_it_is_unavailable_and_soon_back(client, own_predictor, publish):
    job_id, _, _ = publish()
    assert ask(client, job_id).status_code == 200
    own_predictor.kill()
    gone = ask(client, job_id)
    assert problem(gone)[:2] == (503, "predictor_unavailable")
    assert int(gone.headers["retry-after"]) >= 1
    assert client.get("/health/live").status_code == 200
    own_predictor.start()
    for _ in range(20):
        if (answer := ask(client, job_id)).status_code == 200:
            break
    assert answer.status_code == 200


def test_a_full_queue_is_too_many_requests_and_says_when_to_come_back(client, narrow_predictor, publish):
    job_id, _, _ = publish()
    full = ask(client, job_id, ["the cat sat", "a dog ran"])
    assert problem(full) == (429, "overloaded", None)
    assert int(full.headers["retry-after"]) >= 1
    assert full.json()["error"]["type"] == "rate_limit_error"
    assert ask(client, job_id, ["the cat sat"]).status_code == 200, (
        "one text fits, and waits for the model to be loaded"
    )


def test_a_hundred_callers_at_once_are_all_answered_alike(client, predictor, publish):
    job_id, _, _ = publish()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ask(client, job_id), range(100)))
    assert {answer.status_code for answer in answers} == {200}
    scores = [answer.json()["predictions"][0][0]["score"] for answer in answers]
    assert max(scores) - min(scores) < 1e-5
