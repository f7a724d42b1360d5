"""docs/how-to/python-client.md: its code runs against a whole service, and its tables tell what there is."""

import inspect
import json
import re
import shutil

import pytest

from tests.stack.processes import ROOT

pytestmark = pytest.mark.xdist_group("cli_stack")

PAGE = (ROOT / "docs/how-to/python-client.md").read_text()


def test_the_code_of_the_page_runs_in_its_order(stack_url, tiny_model, reviews, tmp_path, monkeypatch, capsys):
    from tests.decoder import build_decoder

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNERY_URL", stack_url)
    monkeypatch.delenv("TUNERY_API_KEY", raising=False)
    shutil.copytree(tiny_model, "all-MiniLM-L6-v2")
    shutil.copy(reviews, "train.jsonl")
    build_decoder(tmp_path / "stories")
    (tmp_path / "stories.jsonl").write_text('{"text": "one two three"}\n{"text": "red says blue"}\n' * 8)
    names = {"__name__": "page"}
    printed = []
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "python-client.md", "exec"), names)
        printed.append(capsys.readouterr().out)
    first, watched, _, asked, listed, _, written, refused, compared = printed
    assert names["job"].model.id in first
    assert re.findall(r"^(yes|no) 0\.\d+$", first, re.MULTILINE)
    assert "The job was accepted." in watched
    assert re.search(r"^succeeded None 5 ", watched, re.MULTILINE)
    assert len(names["curve"]) > 2
    assert names["best"]
    assert names["lines"]
    assert asked.strip() == "cancelled"
    assert names["third"].id in listed
    predictions = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [line["row"] for line in predictions] == list(range(1, 65))
    assert (tmp_path / "my-model/config.json").is_file()
    assert int(written.split()[-1]) > 0
    assert "did you mean training.learning_rate?" in refused
    assert refused.strip().endswith("cancelled")
    assert "LabelScore" in compared


def test_the_table_has_every_method_and_no_other():
    from app.client import Tunery
    from app.client.files import Files
    from app.client.jobs import Jobs
    from app.client.models import Models

    told = dict(re.findall(r"^\| `([\w.]+)` \| (`.*`) \|$", PAGE.split("## All methods")[1], re.MULTILINE))
    for name, resource in {
        "client.files": Files,
        "client.jobs": Jobs,
        "client.models": Models,
        "client": Tunery,
    }.items():
        methods = {method for method, _ in inspect.getmembers(resource, callable) if not method.startswith("_")}
        assert set(re.findall(r"`(\w+)`", told[name])) == methods


def test_every_error_of_the_client_is_told():
    from app import client

    errors = {
        name
        for name in client.__all__
        if inspect.isclass(getattr(client, name)) and issubclass(getattr(client, name), Exception)
    }
    table = "\n".join(re.findall(r"^\| (`\w+`.*?) \|", PAGE.split("## Errors")[1].split("## asyncio")[0], re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", table)) == errors
