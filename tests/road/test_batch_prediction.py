"""A whole file predicted as a job, through HTTP alone: the same answers as of ``POST /predict``, whatever is killed."""

import csv
import io
import json
import os
import signal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.road.conftest import Service
from tests.road.finished import as_inputs, build, rows_for
from tests.road.tiny import jsonl

pytestmark = pytest.mark.xdist_group("road")

TASKS = ("class", "pair", "labels", "number", "answer", "tags", "text", "source")
WRITING = {"text": {"max_new_tokens": 6}, "source": {"max_new_tokens": 6}}
PARAMETERS = {
    "labels": {"threshold": 0.5},
    "class": {"top_k": 2},
    "answer": {"top_k": 3, "max_answer_len": 4},
    **WRITING,
}


def as_csv(rows):
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def as_parquet(rows):
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


def upload(service, content, name):
    answer = service.http.post("/files", files={"file": (name, content)})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def submit(service, **body):
    answer = service.http.post("/predict/batch", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def finish(service, job_id):
    job = service.wait(job_id)
    assert job["status"] == "succeeded", (job["error"], service.logs(job_id))
    return job


def content(service: Service, job) -> bytes:
    (file_id,) = job["result_files"]
    return service.http.get(f"/files/{file_id}/content").raise_for_status().content


def predict(service, model, inputs, parameters):
    """What ``POST /predict`` answers: predictions, and whether each was cut."""
    predictions, truncated = [], []
    for start in range(0, len(inputs), 64):
        body = {"model": model, "inputs": inputs[start : start + 64], "parameters": parameters}
        answer = service.http.post("/predict", json=body).raise_for_status().json()
        predictions += answer["predictions"]
        truncated += answer["usage"]["truncated"]
    return predictions, truncated


def without_scores(prediction):
    return [{name: value for name, value in item.items() if name != "score"} for item in prediction]


@pytest.fixture(scope="module")
def models(service, tmp_path_factory):
    for task in TASKS:
        service.register(f"ready-{task}", build(task, tmp_path_factory.mktemp("finished") / task))
    return {task: f"ready-{task}" for task in TASKS}


def test_every_row_of_every_task_is_answered_as_by_predict(service, models):
    """Eight jobs at once, their files in all formats."""
    rows = {task: rows_for(task, 24 if task in WRITING else 150) for task in TASKS}
    written = {
        "number": (as_csv(rows["number"]), "in.csv"),
        "pair": (as_parquet(rows["pair"]), "in.parquet"),
        "tags": (as_parquet(rows["tags"]), "in.parquet"),
    }
    jobs = {}
    for task in TASKS:
        data, name = written.get(task, (jsonl(rows[task]), "in.jsonl"))
        jobs[task] = submit(
            service,
            model=models[task],
            file=upload(service, data, name),
            parameters=PARAMETERS.get(task, {}),
            metadata={"made": "for a test"},
        )
    assert {(job["kind"], job["progress"]["max_steps"]) for job in jobs.values()} == {
        ("prediction", 150),
        ("prediction", 24),
    }
    assert jobs["pair"]["spec"]["columns"] == {"text": "sentence1", "text_pair": "sentence2"}
    for task in TASKS:
        job = finish(service, jobs[task]["id"])
        lines = [json.loads(line) for line in content(service, job).splitlines()]
        expected, truncated = predict(service, models[task], as_inputs(task, rows[task]), PARAMETERS.get(task, {}))
        assert [line["row"] for line in lines] == list(range(1, len(rows[task]) + 1))
        assert [without_scores(line["prediction"]) for line in lines] == list(map(without_scores, expected)), task
        scores = [item.get("score") for line in lines for item in line["prediction"]]
        assert scores == pytest.approx([item.get("score") for found in expected for item in found], abs=1e-5), task
        assert [line["truncated"] for line in lines] == truncated
        assert job["progress"]["step"] == job["progress"]["max_steps"] == len(lines)
        report = job["report"]
        assert (report["num_predicted"], report["num_errors"]) == (len(lines), 0)
        assert report["num_truncated"] == sum(truncated)
    file = service.http.get(f"/files/{job['result_files'][0]}").json()
    assert (file["purpose"], file["num_rows"], file["job_id"]) == ("predictions", 24, job["id"])
    assert file["filename"] == "in-predictions.jsonl"
    listed = service.http.get("/jobs", params={"kind": "prediction", "metadata[made]": "for a test"}).json()["data"]
    assert [job["id"] for job in listed] == [job["id"] for job in reversed(jobs.values())]
    assert all(job["kind"] == "training" for job in service.http.get("/jobs?kind=training").json()["data"])


def test_a_row_that_only_the_model_refuses_gets_an_error_and_the_others_are_predicted(service, models):
    long = {
        "answer": ({"question": "the cat " * 20, "context": "the dog"}, "tokens"),
        "tags": ({"tokens": []}, "no words"),
        "text": ({"text": "x" * 5000}, "tokens"),
    }
    jobs = {}
    for task, (bad, _) in long.items():
        rows = rows_for(task, 5)
        rows.insert(3, bad)
        file = upload(service, jsonl(rows), f"{task}.jsonl")
        jobs[task] = (rows, submit(service, model=models[task], file=file, parameters=PARAMETERS.get(task, {})))
    for task, (rows, job) in jobs.items():
        finished = finish(service, job["id"])
        lines = [json.loads(line) for line in content(service, finished).splitlines()]
        assert [line["row"] for line in lines] == [1, 2, 3, 4, 5, 6]
        bad = lines.pop(3)
        assert (bad.keys(), bad["error"]["code"]) == ({"row", "error"}, "invalid_input")
        assert long[task][1] in bad["error"]["message"]
        expected, _ = predict(service, models[task], as_inputs(task, rows[:3] + rows[4:]), PARAMETERS.get(task, {}))
        assert [without_scores(line["prediction"]) for line in lines] == list(map(without_scores, expected))
        assert finished["report"]["num_errors"] == 1


def test_a_paused_prediction_goes_on_and_a_cancelled_one_leaves_no_file(service, models):
    file = upload(service, jsonl(rows_for("class", 14_000, seed=3)), "many.jsonl")
    paused, cancelled = (submit(service, model=models["class"], file=file)["id"] for _ in "ab")
    service.wait_for(paused, lambda job: job["progress"]["step"] > 4_096)
    service.http.post(f"/jobs/{paused}/pause").raise_for_status()
    service.wait_for(paused, lambda job: job["status"] == "paused")
    service.wait_for(cancelled, lambda job: job["progress"]["step"] > 0 and job["phase"] == "predicting")
    assert service.http.post(f"/jobs/{cancelled}/cancel").json()["result_files"] == []
    assert service.wait(cancelled)["status"] == "cancelled"
    service.http.post(f"/jobs/{paused}/resume").raise_for_status()
    job = finish(service, paused)
    assert [json.loads(line)["row"] for line in content(service, job).splitlines()] == list(range(1, 14_001))
    assert service.http.delete(f"/files/{job['result_files'][0]}").status_code == 200
    assert service.job(paused)["result_files"] == job["result_files"]


def test_a_killed_prediction_goes_on_and_writes_the_same_bytes(service, models):
    rows = rows_for("class", 20_000, seed=2)
    file_id = upload(service, jsonl(rows), "many.jsonl")
    disturbed = submit(service, model=models["class"], file=file_id)["id"]
    service.wait_for(disturbed, lambda job: job["progress"]["step"] > 6_000)
    os.kill(service.up.pid_of("worker.trainer"), signal.SIGKILL)
    job = finish(service, disturbed)
    assert job["attempt"] == 2
    events = service.http.get(f"/jobs/{disturbed}/events", params={"limit": 1000}).json()["data"]
    resumed = [event["data"]["resumed_from_step"] for event in events if "resumed_from_step" in (event["data"] or {})]
    assert resumed[0] == 0
    assert 4_000 < resumed[1] < 20_000, "it went on behind what was done"
    undisturbed = finish(service, submit(service, model=models["class"], file=file_id)["id"])
    assert undisturbed["attempt"] == 1
    found = content(service, job)
    assert found == content(service, undisturbed)
    assert [json.loads(line)["row"] for line in found.splitlines()] == list(range(1, 20_001))
    assert {part["state"] for part in service.http.get(f"/jobs/{disturbed}/checkpoints").json()["data"]} == {"deleted"}
