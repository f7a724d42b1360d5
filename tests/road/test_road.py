"""The main road through HTTP alone: upload, submit, watch, ask, download."""

import io
import json
import zipfile

import numpy as np
import pytest

from tests.road.tiny import pairs, reviews

pytestmark = pytest.mark.xdist_group("road")

TRAINING = {"num_train_epochs": 2, "per_device_train_batch_size": 16, "learning_rate": 2e-3, "seed": 7}


@pytest.fixture(scope="module")
def finished(service):
    """A job over pairs, with a validation file and a test file, that has succeeded."""
    job_id = service.submit(
        model="tiny-bert",
        dataset={
            "train": service.upload(pairs(320, seed=1)),
            "validation": service.upload(pairs(96, seed=2)),
            "test": service.upload(pairs(64, seed=3)),
        },
        training=TRAINING,
        metrics="glue/mrpc",
        suffix="alike",
        metadata={"team": "nlp"},
    )
    job = service.wait(job_id)
    assert job["status"] == "succeeded", (job["error"], service.logs(job_id))
    return job


def test_everything_that_was_chosen_is_written_back(finished):
    spec = finished["spec"]
    assert "auto" not in json.dumps({k: v for k, v in spec.items() if k != "dataset"})
    assert spec["task"] == "text-classification"
    assert spec["columns"] == {"text": "sentence1", "text_pair": "sentence2", "label": "label"}
    assert spec["label_names"] == ["0", "1"]
    assert finished["metadata"] == {"team": "nlp"}


def test_progress_ends_at_the_last_step(finished):
    progress = finished["progress"]
    assert progress["step"] == progress["max_steps"] == 40
    assert progress["fraction"] == 1.0
    assert progress["epoch"] == 2.0


def test_metrics_are_measured_every_epoch_and_the_loss_in_between(service, finished):
    points = service.http.get(f"/jobs/{finished['id']}/metrics", params={"limit": 1000}).json()["data"]
    by_name = {}
    for point in points:
        by_name.setdefault(point["name"], []).append(point["step"])
    assert by_name["eval/accuracy"] == by_name["eval/f1"] == by_name["eval/loss"] == [20, 40]
    assert len(by_name["train/loss"]) > 5
    assert {"train/learning_rate", "train/grad_norm"} <= by_name.keys()


def test_the_report_adds_up(finished):
    report = finished["report"]
    matrix = np.array(report["confusion_matrix"])
    assert matrix.sum() == 96
    assert matrix.trace() / 96 == pytest.approx(finished["metrics"]["best"]["eval/accuracy"])
    for row, per_class in zip(matrix, report["per_class"], strict=True):
        assert row.sum() == per_class["support"]
    assert report["majority_baseline"]["accuracy"] == matrix.sum(axis=1).max() / 96


def test_the_mistakes_are_those_of_the_report_and_what_the_model_answers(service, finished):
    url = f"/jobs/{finished['id']}/mistakes"
    page = service.http.get(url, params={"limit": 100}).json()
    matrix = np.array(finished["report"]["confusion_matrix"])
    assert (page["num_examples"], page["num_wrong"], page["rows_of"]) == (
        96,
        matrix.sum() - matrix.trace(),
        "validation",
    )
    assert len(page["data"]) == page["num_kept"] == page["num_wrong"]
    missed = service.http.get(url, params={"label": "1", "predicted": "0", "limit": 100}).json()["data"]
    assert len(missed) == matrix[1, 0]
    rows = pairs(96, seed=2)
    for mistake in page["data"][:5]:
        row = rows[mistake["row"] - 1]
        assert (row["sentence1"], row["sentence2"], str(row["label"])) == (
            mistake["text"], mistake["text_pair"], mistake["label"],
        )  # fmt: skip
        body = {"model": finished["id"], "inputs": {"text": mistake["text"], "text_pair": mistake["text_pair"]}}
        best = service.http.post("/predict", json=body).raise_for_status().json()["predictions"][0][0]
        assert best["label"] == mistake["predicted"] != mistake["label"]
        assert best["score"] == pytest.approx(mistake["score"], abs=1e-4)
    tested = service.http.get(url, params={"split": "test"}).json()
    assert (tested["num_examples"], tested["rows_of"]) == (64, "test")


def test_events_tell_the_story_without_a_gap(service, finished):
    events = service.http.get(f"/jobs/{finished['id']}/events", params={"limit": 1000}).json()["data"]
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    statuses = [e["data"]["status"] for e in events if e["type"] == "status"]
    assert statuses == ["queued", "running", "succeeded"]
    assert [e["data"]["phase"] for e in events if e["type"] == "phase"][:3] == ["preparing", "validating", "tokenizing"]


def test_an_event_stream_resumes_where_it_was_cut(service, finished):
    whole = stream(service, finished["id"], {})
    rest = stream(service, finished["id"], {"last-event-id": whole[2]["id"]})
    assert [event["number"] for event in rest] == [event["number"] for event in whole[3:]]


def test_a_stream_opened_before_the_end_gets_every_event(service):
    job_id = service.submit(
        model="tiny-bert", dataset={"train": service.upload(reviews(200, seed=4))}, training=TRAINING
    )
    numbers = [event["number"] for event in stream(service, job_id, {})]
    assert numbers == list(range(1, len(numbers) + 1))
    assert service.job(job_id)["status"] == "succeeded"


def stream(service, job_id, headers):
    """All events of a stream, until the server ends it."""
    headers = {"accept": "text/event-stream"} | headers
    with service.http.stream("GET", f"/jobs/{job_id}/events", headers=headers, timeout=120) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_checkpoints_are_listed_and_one_is_the_best(service, finished):
    saved = service.http.get(f"/jobs/{finished['id']}/checkpoints").json()["data"]
    assert [c["step"] for c in saved if c["is_best"]] == [finished["best_checkpoint"]["step"]]
    assert {c["step"] for c in saved} == {20, 40}


def test_what_is_served_is_what_was_evaluated(service, finished):
    rows = pairs(96, seed=2)
    right = 0
    for start in range(0, len(rows), 48):
        batch = [{"text": r["sentence1"], "text_pair": r["sentence2"]} for r in rows[start : start + 48]]
        answer = (
            service.http.post("/predict", json={"model": finished["id"], "inputs": batch}).raise_for_status().json()
        )
        for row, scores in zip(rows[start : start + 48], answer["predictions"], strict=True):
            assert sum(s["score"] for s in scores) == pytest.approx(1, abs=1e-4)
            right += scores[0]["label"] == str(row["label"])
    assert right / 96 == pytest.approx(finished["metrics"]["best"]["eval/accuracy"])


def test_the_model_can_be_asked_by_its_own_id(service, finished):
    model_id = finished["model"]["id"]
    assert model_id.startswith("ft:tiny-bert:")
    assert ":alike:" in model_id
    answer = service.http.post("/predict", json={"model": model_id, "inputs": "the film was good"}).json()
    assert answer["usage"]["truncated"] == [False]
    assert len(answer["predictions"][0]) == 2


def test_the_downloaded_model_predicts_the_same(service, finished, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    archive = service.http.get(f"/models/{finished['model']['id']}/download")
    zipfile.ZipFile(io.BytesIO(archive.content)).extractall(tmp_path)
    folder = next(tmp_path.rglob("config.json")).parent
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert model.config.id2label == {0: "0", 1: "1"}
    classify = pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(folder), top_k=None)
    rows = pairs(20, seed=9)
    ours = service.http.post(
        "/predict",
        json={"model": finished["id"], "inputs": [{"text": r["sentence1"], "text_pair": r["sentence2"]} for r in rows]},
    ).json()["predictions"]
    for row, scores in zip(rows, ours, strict=True):
        theirs = {s["label"]: s["score"] for s in classify({"text": row["sentence1"], "text_pair": row["sentence2"]})}
        assert {s["label"]: s["score"] for s in scores} == pytest.approx(theirs, abs=2e-2)


def test_a_finished_model_can_be_tuned_further(service, finished):
    job_id = service.submit(
        model=finished["model"]["id"], dataset={"train": service.upload(pairs(64, seed=5))},
        training=TRAINING | {"num_train_epochs": 1},
    )  # fmt: skip
    job = service.wait(job_id)
    assert job["status"] == "succeeded", job["error"]
    assert job["model"]["id"].startswith("ft:tiny-bert:")


def test_string_labels_of_single_texts_keep_their_names(service):
    job_id = service.submit(
        model="tiny-bert",
        dataset={"train": service.upload(reviews(240, seed=6)), "validation": 0.25},
        training=TRAINING | {"num_train_epochs": 10},
    )
    job = service.wait(job_id)
    assert job["status"] == "succeeded", job["error"]
    assert job["spec"]["label_names"] == ["blame", "praise"]
    assert job["report"]["num_examples"] == 60
    assert job["metrics"]["best"]["eval/accuracy"] > 0.95
    answer = service.http.post(
        "/predict",
        json={
            "model": job_id,
            "inputs": ["this film seemed great", "that meal felt awful"],
            "parameters": {"top_k": 1},
        },
    ).json()
    assert [scores[0]["label"] for scores in answer["predictions"]] == ["praise", "blame"]


def test_two_runs_of_one_spec_give_the_same_bytes(service):
    spec = {"model": "tiny-bert", "dataset": {"train": service.upload(reviews(100, seed=8))}, "training": TRAINING}
    jobs = [service.wait(job_id) for job_id in [service.submit(**spec), service.submit(**spec)]]
    assert jobs[0]["model"]["weights_sha256"] == jobs[1]["model"]["weights_sha256"]


def test_cancelling_leaves_no_trainer(service):
    job_id = service.submit(
        model="tiny-bert", dataset={"train": service.upload(reviews(400, seed=10))}, training={"max_steps": 100_000}
    )
    service.wait_for(job_id, lambda job: job["progress"]["step"] > 3)
    assert service.http.post(f"/jobs/{job_id}/cancel").status_code == 200
    assert service.wait(job_id, seconds=30)["status"] == "cancelled"
    assert not any("worker.trainer" in arguments for arguments in service.up.children().values())
    assert service.http.post(f"/jobs/{job_id}/cancel").json()["status"] == "cancelled"


def test_the_trainers_environment_holds_no_setting_of_the_service(service):
    job_id = service.submit(
        model="tiny-bert", dataset={"train": service.upload(reviews(400, seed=11))}, training={"max_steps": 100_000}
    )
    service.wait_for(job_id, lambda job: job["progress"]["step"] > 1)
    pid = service.up.pid_of("worker.trainer")
    environment = open(f"/proc/{pid}/environ").read()  # noqa: SIM115, PTH123
    service.http.post(f"/jobs/{job_id}/cancel")
    assert "TUNERY_" not in environment
    service.wait(job_id)


def test_openapi_names_the_errors_of_every_route(service):
    paths = service.http.get("/openapi.json").json()["paths"]
    for path, operations in paths.items():
        for method, operation in operations.items():
            if not path.startswith("/health"):
                assert "401" in operation["responses"], f"{method} {path}"
