"""The command line and a whole service: upload, train, follow, ask, download."""

import csv
import json
import re
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from tests.cli.conftest import Tunery
from tests.stack.processes import ROOT, eventually

pytestmark = pytest.mark.xdist_group("cli_stack")

FAST = (
    "--set",
    "training.num_train_epochs=2",
    "--set",
    "training.learning_rate=0.01",
    "--set",
    "training.per_device_train_batch_size=8",
)


AS_FROM_A_TERMINAL = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a script's background jobs are born ignoring
runpy.run_module("app.cli", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="package")
def registered(stack_url, tiny_model):
    return Tunery(stack_url).json("models", "add", "tiny", tiny_model)["id"]


@pytest.fixture(scope="package")
def followed(stack_url, registered, reviews):
    """A job followed to its end: its id and what the command printed."""
    tunery = Tunery(stack_url)
    process = tunery.run(
        *("jobs", "create", "--model", registered, "--train", reviews, "--validation", "0.25", *FAST),
        *("--suffix", "reviews", "--metadata", "team=nlp", "--follow"),
    )
    return tunery.json("jobs", "ls")["data"][0]["id"], process.stdout


def test_a_followed_job_tells_what_happens_and_ends_with_the_model(tunery, followed):
    job_id, output = followed
    job = tunery.json("jobs", "show", job_id)
    assert job["status"] == "succeeded"
    assert job["metadata"] == {"team": "nlp"}
    assert job["spec"]["training"]["learning_rate"] == 0.01
    assert "uploaded reviews.jsonl: file-" in output
    assert "training" in output
    assert f"step {job['progress']['max_steps']}/{job['progress']['max_steps']}" in output or "Evaluation" in output
    assert f"{job_id}  succeeded" in output
    assert job["model"]["id"] in output
    assert "\x1b[" not in output  # no terminal, no colours
    shown = tunery.run("jobs", "show", job_id).stdout
    assert "PRECISION" in shown
    assert "the most frequent" in shown


def test_events_are_shown_once_and_in_order(tunery, followed):
    _, output = followed
    lines = [line for line in output.split("\n") if line[2:3] == ":" and line[5:6] == ":"]
    assert len(lines) > 3
    assert [line[:8] for line in lines] == sorted(line[:8] for line in lines)
    assert sum("The job was accepted" in line for line in lines) == 1


def test_a_finished_model_is_asked_by_text_by_file_and_by_pair(tunery, followed, tmp_path):
    job_id, _ = followed
    answer = tunery.json("predict", "--model", job_id, "a very good film")
    assert {entry["label"] for entry in answer["predictions"][0]} == {"yes", "no"}
    texts = tmp_path / "texts.jsonl"
    texts.write_text('"a good film"\n\n{"text": "a bad film"}\n' + '"a bad film"\n' * 40)
    assert len(tunery.json("predict", "--model", job_id, "--file", texts)["predictions"]) == 42
    table = tunery.run("predict", "--model", job_id, "--top-k", 1, "--file", texts).stdout
    assert "a good film" in table
    texts.write_text('"a good film"\nnot json\n')
    assert "line 2" in tunery.run("predict", "--model", job_id, "--file", texts, expect=1).stderr


def test_a_whole_file_is_predicted_by_a_job_and_its_result_fetched(tunery, followed, reviews, tmp_path):
    job_id, _ = followed
    result = tmp_path / "result.jsonl"
    output = tunery.run("predict", "--model", job_id, "--file", reviews, "--as-job", "--top-k", 1, "-o", result).stdout
    lines = [json.loads(line) for line in result.read_text().splitlines()]
    assert [line["row"] for line in lines] == list(range(1, 65))
    assert {len(line["prediction"]) for line in lines} == {1}
    assert "succeeded" in output
    assert str(result) in output.replace("\n", "")
    (job,) = tunery.json("jobs", "ls", "--kind", "prediction")["data"]
    assert "row 64/64" in tunery.run("jobs", "show", job["id"]).stdout
    (file_id,) = job["result_files"]
    again = tmp_path / "again.jsonl"
    assert tunery.json("files", "download", file_id, again)["bytes"] == len(again.read_bytes())
    assert again.read_bytes() == result.read_bytes()
    assert "--as-job" in tunery.run("predict", "--model", job_id, "text", "--wait", expect=1).stderr


def test_a_model_is_exported_to_a_zip(tunery, followed, tmp_path):
    target = tmp_path / "model.zip"
    job = tunery.json("models", "export", followed[0], "--output", target)
    assert (job["kind"], job["status"]) == ("export", "succeeded")
    with zipfile.ZipFile(target) as archive:
        assert "model.onnx" in archive.namelist()


def test_jobs_are_compared_and_their_curves_printed(tunery, followed, registered, reviews):
    job_id, _ = followed
    other = tunery.json("jobs", "retry", job_id, "--set", "training.max_steps=2", "--follow")
    compared = tunery.json("jobs", "compare", job_id, other["id"])
    assert [job["id"] for job in compared["jobs"]] == [job_id, other["id"]]
    assert compared["settings"]["training.max_steps"] == [-1, 2]
    assert "training.learning_rate" not in compared["settings"]
    assert compared["best"]["eval/accuracy"][0] is not None
    table = tunery.run("jobs", "compare", job_id, other["id"], COLUMNS="40").stdout
    assert re.search(r"^training\.max_steps +-1 +2 *$", table, re.MULTILINE)
    assert re.search(r"^best eval/accuracy +\d\.\d{4} +\d\.\d{4} *$", table, re.MULTILINE)
    assert "nothing to compare" in tunery.run("jobs", "compare", job_id, job_id, expect=1).stderr

    points = tunery.json("jobs", "metrics", other["id"])["data"]
    rows = list(csv.DictReader(tunery.run("jobs", "metrics", other["id"], "--csv").stdout.splitlines()))
    assert [int(row["step"]) for row in rows] == sorted({point["step"] for point in points})
    assert {(int(row["step"]), float(row["train/loss"])) for row in rows if row["train/loss"]} == {
        (point["step"], point["value"]) for point in points if point["name"] == "train/loss"
    }
    assert "eval/accuracy" in tunery.run("jobs", "metrics", other["id"], "--name", "loss", expect=1).stderr


def test_files_and_models_are_shown_and_deleted(tunery, registered, reviews, tiny_model):
    file = tunery.json("files", "upload", reviews)
    shown = tunery.run("files", "show", file["id"]).stdout
    assert "reviews.jsonl" in shown
    assert "label (string): no ×32, yes ×32" in shown
    assert tunery.json("files", "rm", file["id"])["deleted"] is True
    assert "tunery files ls" in tunery.run("files", "show", file["id"], expect=1).stderr
    tunery.run("models", "add", "other", tiny_model)
    assert "model.safetensors" in tunery.run("models", "show", "other").stdout
    assert "other  deleted" in tunery.run("models", "rm", "other").stdout
    assert tunery.json("models", "show", "other", expect=1)["status"] == 404


def test_a_shell_completes_ids(tunery, followed):
    words = {"_TUNERY_COMPLETE": "complete_bash", "COMP_WORDS": "tunery jobs show ftjob-", "COMP_CWORD": "3"}
    assert followed[0] in tunery.run_script(**words).split()
    assert Tunery("http://127.0.0.1:9").run_script(**words).split() == []


def test_logs_are_lines_for_people_and_documents_for_programs(tunery, followed):
    job_id, _ = followed
    plain = tunery.run("jobs", "logs", job_id).stdout
    documents = [json.loads(line) for line in tunery.run("jobs", "logs", job_id, "--json").stdout.split("\n") if line]
    assert [document["line"] for document in documents] == plain.split("\n")[:-1]
    assert {document["node"] for document in documents} == {0}
    assert tunery.run("jobs", "logs", job_id, "--node", "0").stdout == plain
    assert "there is no node 1" in tunery.run("jobs", "logs", job_id, "--node", "1", expect=1).stderr
    assert f"{job_id}  succeeded" in tunery.run("jobs", "logs", "-f", job_id).stdout


def test_a_downloaded_model_loads_with_its_labels(tunery, followed, tmp_path):
    transformers = pytest.importorskip("transformers")
    model_id = tunery.json("jobs", "show", followed[0])["model"]["id"]
    assert model_id in {model["id"] for model in tunery.json("models", "ls")["data"]}
    found = tunery.json("models", "download", model_id, tmp_path / "model")
    assert "config.json" in found["files"]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert set(model.config.id2label.values()) == {"yes", "no"}
    assert "not empty" in tunery.run("models", "download", model_id, tmp_path / "model", expect=1).stderr


def test_an_uploaded_file_is_named_by_its_id(tunery, registered, reviews):
    file = tunery.json("files", "upload", reviews)
    assert file["num_rows"] == 64
    assert file["id"] in tunery.run("files", "ls").stdout
    job = tunery.json("jobs", "create", "--model", registered, "--train", file["id"], "--set", "training.max_steps=1")
    assert job["spec"]["dataset"]["train"] == file["id"]
    assert tunery.json("jobs", "wait", job["id"])["status"] == "succeeded"


def test_a_job_that_does_not_succeed_is_an_exit_code(tunery, registered, reviews):
    long = (
        "--set",
        "training.num_train_epochs=2000",
        "--set",
        "training.eval_strategy=no",
        "--set",
        "training.save_strategy=no",
    )
    job = tunery.json("jobs", "create", "--model", registered, "--train", reviews, "--validation", "0.2", *long)
    assert "has not ended" in tunery.run("jobs", "wait", job["id"], "--timeout", 0.1, expect=1).stderr
    assert tunery.json("jobs", "pause", job["id"])["request"]["action"] == "pause"
    tunery.run("jobs", "resume", job["id"])
    tunery.run("jobs", "cancel", job["id"])
    assert tunery.json("jobs", "wait", job["id"], expect=1)["status"] == "cancelled"
    assert "nothing to stop" in tunery.run("jobs", "stop", job["id"], expect=1).stderr
    again = tunery.json("jobs", "retry", job["id"], "--set", "training.max_steps=1", "--follow")
    assert (again["status"], again["retry_of"], again["spec"]["training"]["max_steps"]) == ("succeeded", job["id"], 1)
    assert "cancelled" in tunery.run("jobs", "logs", "-f", job["id"], expect=1).stdout
    assert tunery.run("jobs", "rm", job["id"], "--with-results").stdout == f"{job['id']}  deleted\n"
    assert "There is no job" in tunery.run("jobs", "show", job["id"], expect=1).stderr


def test_ctrl_c_leaves_the_job_running_and_says_so(tunery, registered, reviews):
    import os

    long = (
        "--set",
        "training.num_train_epochs=2000",
        "--set",
        "training.eval_strategy=no",
        "--set",
        "training.save_strategy=no",
    )
    command = ["jobs", "create", "--model", registered, "--train", reviews, "--validation", "0.2", *long, "--follow"]
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", AS_FROM_A_TERMINAL, *map(str, command)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TUNERY_URL": tunery.url, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    job_id = ""
    while not job_id:
        line = process.stdout.readline()
        assert line
        job_id = line.split()[0] if line.startswith("ftjob-") else ""
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "The job goes on" in output
    assert tunery.json("jobs", "show", job_id)["status"] in {"queued", "running"}
    tunery.run("jobs", "cancel", job_id)
    tunery.run("jobs", "wait", job_id, expect=1)


def test_what_the_server_refuses_names_the_parameter(tunery, registered, reviews, tmp_path):
    process = tunery.run(
        "jobs", "create", "--model", registered, "--train", reviews, "--set", "training.learning_rat=3", expect=1
    )
    assert "training.learning_rat" in process.stderr
    assert "training.learning_rate" in process.stderr  # the nearest name
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "a", "label": 1}\n{"text": \n')
    process = tunery.run("files", "upload", broken, expect=1)
    assert str(broken) in process.stderr
    assert "2" in process.stderr
    assert tunery.json("jobs", "show", "ftjob-" + "0" * 32, expect=1)["status"] == 404


def test_the_workers_of_the_stack_are_listed_with_what_they_have(tunery):
    assert eventually(lambda: tunery.json("workers")["data"], seconds=60)
    workers = tunery.json("workers")["data"]
    assert [(worker["slots"], worker["takes"]) for worker in workers] == [(1, "any")]
    assert workers[0]["cpus"] >= 1
    text = tunery.run("workers").stdout
    assert workers[0]["id"] in text
    assert "0/1" in text or "1/1" in text


def test_what_was_changed_is_listed(tunery):
    tunery.run("jobs", "cancel", "ftjob-unknown", expect=1)
    [line] = tunery.json("audit", "--object", "ftjob-unknown")["data"]
    assert (line["action"], line["status"], line["client"]) == ("job.cancel", 404, "127.0.0.1")
    assert line["request_id"] in tunery.run("audit", "--action", "job.cancel").stdout
