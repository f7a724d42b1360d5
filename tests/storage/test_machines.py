"""A service on several machines with nothing in common but PostgreSQL, Valkey and an S3 server: one worker dies, another goes on."""

import io
import json
import sys
import time
import zipfile
from pathlib import Path

import pytest

from tests.road.tiny import build_encoder, reviews
from tests.stack.processes import eventually
from tests.storage import fleet as fleets

TEXT = "this film seemed good and fine"
TRAINING = {
    "num_train_epochs": 20, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "save_strategy": "steps",
    "save_steps": 25, "eval_strategy": "steps", "eval_steps": 75, "logging_steps": 25,
}  # fmt: skip
"""300 steps and twelve checkpoints of a tiny encoder."""
SHORT = TRAINING | {"num_train_epochs": 2, "save_steps": 10}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return build_encoder(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture
def fleet(tmp_path, encoder, postgres_server, s3_server):
    with fleets.running(tmp_path, encoder, postgres=postgres_server, s3=s3_server, num_predictors=2) as fleet:
        yield fleet


def ask(api, model: str) -> list:
    answer = api.again("POST", "/predict", json={"model": model, "inputs": TEXT})
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def finish(api, job_id: str) -> dict:
    job = api.wait(job_id)
    assert job["status"] == "succeeded", (job["error"], api.logs(job_id), api.parts.log()[-2000:])
    return job


def test_a_job_goes_on_where_another_machine_was_killed_and_is_served_by_any(fleet):
    api = fleet.api
    first = fleet.add("worker-a")
    doomed = first.worker()
    killed = api.train(training=TRAINING)
    api.wait_for(killed, lambda job: job["progress"].get("step", 0) > 60)
    fleet.kill(doomed)
    second = fleet.add("worker-b")
    second.worker()
    fleet.start_predictors()
    undisturbed = api.train(training=TRAINING)
    job, other = finish(api, killed), finish(api, undisturbed)

    assert first.jobs() == {killed}
    assert second.jobs() == {killed, undisturbed}
    assert job["attempt"] == 2
    [resumed] = [data["resumed_from_step"] for data in data_of(api, killed) if data.get("resumed_from_step")]
    assert resumed >= 25
    assert job["model"]["weights_sha256"] == other["model"]["weights_sha256"]

    logs = {line["attempt"] for line in log_pages(api, killed) if line["lines"]}
    assert logs == {1, 2}, "of both machines, told by a third"
    content = api.http.get(f"/files/{job['result_files'][0]}/content")
    assert content.text.startswith("step,")
    archive = zipfile.ZipFile(io.BytesIO(api.http.get(f"/models/{job['model']['id']}/download").content))
    assert archive.testzip() is None
    assert any(name.endswith("model.safetensors") for name in archive.namelist())

    answers = ask(api, killed)
    assert answers == ask(api, undisturbed)
    fleet.kill(fleet.predictors[0])
    assert [ask(api, model) for model in (killed, undisturbed)] == [answers, answers], "by the one that is left"

    rows = api.upload([{"text": text["text"]} for text in reviews(40, seed=3)])
    batch = api.again("POST", "/predict/batch", json={"model": killed, "file": rows}).json()["id"]
    [file_id] = finish(api, batch)["result_files"]
    lines = api.http.get(f"/files/{file_id}/content").text.splitlines()
    assert [json.loads(line)["row"] for line in lines] == list(range(1, 41))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_fifty_jobs_on_two_workers_of_which_one_is_killed(fleet):
    api = fleet.api
    machines = [fleet.add("worker-a"), fleet.add("worker-b")]
    workers = [machine.worker() for machine in machines]
    fleet.start_predictors()
    data = [api.upload(reviews(60, seed=seed)) for seed in range(5)]
    started_at = time.monotonic()
    jobs = [
        api.submit(model="tiny-bert", dataset={"train": data[number % 5]}, training=SHORT | {"seed": number})
        for number in range(50)
    ]
    assert eventually(lambda: len(ended(api)) >= 20, seconds=900), fleet.log()
    fleet.kill(workers[0])
    before = [machine.jobs() for machine in machines]
    for job_id in jobs:
        api.wait(job_id, seconds=900)
    seconds = time.monotonic() - started_at
    found = [api.job(job_id) for job_id in jobs]
    assert {job["status"] for job in found} == {"succeeded"}
    assert all(len(done) >= 5 for done in before), "both worked until one was killed"
    again = [job["id"] for job in found if job["attempt"] > 1]
    assert set(again) <= before[0], "no other job was disturbed"
    answers = [len(ask(api, job_id)) for job_id in jobs]
    assert answers == [1] * 50
    loaded = [len(list(machine.home.glob("artefacts/models/*"))) for machine in fleet.machines[-2:]]
    assert min(loaded) > 5, "each predictor has its share of the models"
    sys.stdout.write(
        f"\n50 jobs in {seconds:.0f} s; by worker until one was killed: {[len(done) for done in before]}; "
        f"begun again: {len(again)}; models on the predictors: {loaded}\n"
    )


def ended(api) -> list[str]:
    page = api.again("GET", "/jobs", params={"status": "succeeded", "limit": 100}).json()
    return [job["id"] for job in page["data"]]


def data_of(api, job_id: str) -> list[dict]:
    return [event["data"] for event in api.events(job_id) if event["data"]]


def log_pages(api, job_id: str) -> list[dict]:
    pages, after = [], None
    while True:
        page = api.http.get(f"/jobs/{job_id}/logs", params={"after": after} if after else {}).json()
        pages.append(page)
        if page["ended"] or page["next"] == after:
            return pages
        after = page["next"]
