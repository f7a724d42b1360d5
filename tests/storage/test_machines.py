"""A service on several machines with nothing in common but PostgreSQL, Valkey and an S3 server: one worker dies, another goes on."""

import io
import json
import signal
import sys
import time
import zipfile
from pathlib import Path

import pytest

from app.failpoints import OF_STORES
from tests.road.tiny import build_encoder, reviews
from tests.stack.processes import eventually
from tests.storage import fleet as fleets

TEXT = "this film seemed good and fine"
TRAINING = {
    "num_train_epochs": 10, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "save_strategy": "steps",
    "save_steps": 25, "eval_strategy": "steps", "eval_steps": 75, "logging_steps": 25,
}  # fmt: skip
"""150 steps and six checkpoints of a tiny encoder."""
SHORT = TRAINING | {"num_train_epochs": 2, "save_steps": 10}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return build_encoder(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture
def fleet(request, tmp_path, encoder, postgres_server, s3_server):
    """With so many predictors as the test's parameter says, or one."""
    number = getattr(request, "param", 1)
    with fleets.running(tmp_path, encoder, postgres=postgres_server, s3=s3_server, num_predictors=number) as fleet:
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
    api.wait_for(killed, lambda job: job["progress"].get("step", 0) > 30)
    fleet.kill(doomed)
    second = fleet.add("worker-b")
    second.worker()
    fleet.start_predictors()
    undisturbed = api.train(training=TRAINING)
    job, other = finish(api, killed), finish(api, undisturbed)

    assert first.jobs() == {killed}
    assert second.jobs() == {killed, undisturbed}
    assert job["attempt"] == 2, ([event["message"] for event in api.events(killed)], second.parts.log()[-4000:])
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

    assert ask(api, killed) == ask(api, undisturbed)


@pytest.mark.long
@pytest.mark.parametrize("fleet", [2], indirect=True)
def test_results_exports_and_adapters_go_the_same_way(fleet):
    api = fleet.api
    fleet.add("worker-a").worker()
    fleet.start_predictors()
    adapter = api.train(training=SHORT, adapter={"type": "lora", "r": 4, "merge": False})
    model_id = finish(api, adapter)["model"]["id"]
    rows = api.upload([{"text": row["text"]} for row in reviews(40, seed=3)])
    batch = api.again("POST", "/predict/batch", json={"model": adapter, "file": rows}).json()["id"]
    [file_id] = finish(api, batch)["result_files"]
    lines = api.http.get(f"/files/{file_id}/content").text.splitlines()
    assert [json.loads(line)["row"] for line in lines] == list(range(1, 41))
    answers = ask(api, adapter)
    fleet.kill(fleet.predictors[0])
    assert ask(api, adapter) == answers, "whichever is left, on a base that it fetched"
    archive = zipfile.ZipFile(io.BytesIO(api.http.get(f"/models/{model_id}/download").content))
    assert any("/base/" in name for name in archive.namelist())
    further = api.upload(reviews(60, seed=9))
    finish(api, api.submit(model=model_id, dataset={"train": further}, training=SHORT))


@pytest.mark.long
def test_a_job_that_ends_while_the_store_is_away_waits_for_it(tmp_path, encoder, postgres_server, own_s3_server):
    with fleets.running(tmp_path, encoder, postgres=postgres_server, s3=own_s3_server) as fleet:
        machine = fleet.add("worker-a")
        machine.worker()
        job_id = fleet.api.train(training=TRAINING)
        fleet.api.wait_for_step(job_id, 30)
        own_s3_server.stop()
        assert eventually(lambda: "trainer ended" in machine.parts.log(), seconds=120), "it trains on"
        assert eventually(lambda: "checkpoints wait for it" in machine.parts.log(), seconds=60)
        assert fleet.api.http.get("/models/tiny-bert").status_code == 503
        assert fleet.api.job(job_id)["status"] == "running"
        own_s3_server.start()
        assert finish(fleet.api, job_id)["attempt"] == 1


@pytest.mark.long
@pytest.mark.parametrize("name", OF_STORES)
def test_a_worker_that_is_killed_on_the_way_to_or_from_the_store_costs_nothing(fleet, name, tmp_path):
    mark = tmp_path / "mark"
    doomed = fleet.add("worker-a", TUNERY_FAILPOINT=f"{name}@{mark}").worker()
    job_id = fleet.api.train(training=SHORT)
    assert doomed.wait(timeout=120) == -signal.SIGKILL
    assert mark.exists()
    fleet.add("worker-b").worker()
    job = finish(fleet.api, job_id)
    assert job["attempt"] == 2


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fleet", [2], indirect=True)
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
