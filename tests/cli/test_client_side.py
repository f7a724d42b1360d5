"""What the command line does before, or without, a server."""

import subprocess
import sys
import time

import pytest

from app.cli.errors import CliError, from_problem
from app.cli.job_spec import apply_setting
from app.cli.view import numbers
from tests.stack.processes import ROOT


def test_help_is_quick_and_imports_nothing_heavy():
    code = "import sys; sys.argv = ['tunery', '--help']\nimport atexit\n"
    code += "atexit.register(lambda: print([m for m in ('torch', 'httpx2', 'pyarrow', 'sqlalchemy', 'fastapi') if m in sys.modules], file=sys.stderr))\n"
    code += "from app.cli import main; main()"
    begun = time.monotonic()
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert time.monotonic() - begun < 3  # about 0.3 s on an idle machine
    assert process.stderr.strip() == "[]"
    assert "demo" in process.stdout


def test_without_a_server_the_hint_is_how_to_start_one(nowhere):
    process = nowhere.run("jobs", "ls", expect=1)
    assert "No server answers at http://127.0.0.1:9" in process.stderr
    assert "tunery up" in process.stderr
    assert process.stdout == ""
    assert nowhere.json("jobs", "ls", expect=1)["error"]["code"] == "connection_refused"


def test_an_address_that_is_none_is_said(nowhere):
    nowhere.url = "localhost:8000"
    assert "TUNERY_URL" in nowhere.run("jobs", "ls", expect=1).stderr


def test_a_missing_file_is_found_before_anything_is_sent(nowhere, tmp_path):
    process = nowhere.run("jobs", "create", "--model", "m", "--train", tmp_path / "no.jsonl", expect=1)
    assert f"--train {tmp_path / 'no.jsonl'}" in process.stderr


def test_a_folder_without_safetensors_is_no_model(nowhere, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_text("")
    assert "pickle" in nowhere.run("models", "add", "name", tmp_path, expect=1).stderr


def test_up_refuses_to_be_reached_from_outside_without_a_key(nowhere, tmp_path):
    process = nowhere.run("up", "--host", "0.0.0.0", "--port", "0", "--home", tmp_path / "home", expect=1)
    assert "there is no API key" in process.stderr
    assert "TUNERY_FIRST_API_KEY" in process.stderr


def test_a_wrong_option_is_a_usage_error(nowhere):
    assert "--modle" in nowhere.run("jobs", "create", "--modle", "x", expect=2).stderr


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("training.learning_rate=3e-5", {"training": {"learning_rate": 3e-5}}),
        ("training.eval_strategy=steps", {"training": {"eval_strategy": "steps"}}),
        ("training.bf16=true", {"training": {"bf16": True}}),
        ("columns.text_pair=null", {"columns": {"text_pair": None}}),
        ('metrics=["accuracy","f1"]', {"metrics": ["accuracy", "f1"]}),
        ("suffix=a=b", {"suffix": "a=b"}),
        ("training.learning_rate=NaN", {"training": {"learning_rate": "NaN"}}),
    ],
)
def test_settings_are_json_where_they_can_be_and_text_else(setting, expected):
    spec = {}
    apply_setting(spec, setting)
    assert spec == expected


@pytest.mark.parametrize("setting", ["training.learning_rate", "=3", "training..x=1", "a.b.c=1"])
def test_a_setting_that_is_none_is_refused(setting):
    with pytest.raises(CliError):
        apply_setting({"a": {"b": 3}}, setting)


def test_a_problem_document_is_told_with_parameter_row_and_hint():
    error = from_problem(
        422,
        {
            "detail": "The file is not fit for training.",
            "hint": "Mend the rows.",
            "errors": [
                {"message": "broken JSON", "param": "file", "row": 4711},
                {"message": "no label", "param": "label"},
            ],
            "error": {"message": "…", "code": "invalid_data", "param": "file"},
        },
    )
    assert error.where == ("file, row 4711: broken JSON", "label: no label")
    assert (error.hint, error.code) == ("Mend the rows.", "invalid_data")


def test_an_error_page_of_a_proxy_is_no_problem_document():
    assert "502" in from_problem(502, None).message


def test_numbers_of_a_running_job_name_what_is_known():
    job = {
        "status": "running",
        "phase": "training",
        "progress": {"step": 40, "max_steps": 114, "epoch": 1.05, "samples_per_second": 811.6, "eta_seconds": 41.7},
        "metrics": {"latest": {"step": 38, "eval/f1": 0.8311, "eval/loss": 0.4, "eval/recall": 1.0}, "best": None},
        "spec": {"training": {"metric_for_best_model": "f1"}},
    }
    assert (
        numbers(job, loss=0.5117) == "step 40/114 · epoch 1.1 · loss 0.512 · eval/f1 0.831 · 812 samples/s · ETA 0:42"
    )
    assert numbers(job, loss=0.5117, room=68) == "step 40/114 · loss 0.512 · eval/f1 0.831 · 812 samples/s · ETA 0:42"
    assert numbers(job, loss=0.5117, room=40) == "step 40/114 · loss 0.512 · ETA 0:42"
