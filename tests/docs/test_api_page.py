"""docs/api.md names every field with its default and range, every route, and only requests that would be accepted."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel

from app.main import create_app
from app.prediction.schemas import PredictParameters, PredictRequest
from app.spec import recipe
from app.spec.job import ColumnsSpec, DatasetSpec, JobSpec
from app.spec.prediction import PredictionSpec
from app.spec.resources import ResourcesSpec
from app.spec.training import TrainingSpec
from app.study.spec import ParameterSpec, PrunerSpec, SamplerSpec, SweepSpec
from tests.conftest import reset_process_state

PAGE = (Path(__file__).parents[2] / "docs/api.md").read_text()
TABLES: dict[str, type[BaseModel]] = {
    "### Fields of a job": JobSpec,
    "### Fields of `dataset`": DatasetSpec,
    "### Fields of `columns`": ColumnsSpec,
    "### Fields of `resources`": ResourcesSpec,
    "### Fields of `training`": TrainingSpec,
    "### Fields of a sweep": SweepSpec,
    "### Fields of a parameter": ParameterSpec,
    "### Fields of `sampler`": SamplerSpec,
    "### Fields of `pruner`": PrunerSpec,
    "## Predict": PredictParameters,
    "### A whole file": PredictionSpec,
}
"""By heading: the model whose table follows it."""
FIELDS = [(heading, name) for heading, model in TABLES.items() for name in model.model_fields]
Routes = set[tuple[str, str]]
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
NOT_IN_THE_SCHEMA = {("GET", "/docs"), ("GET", "/openapi.json")}


@dataclass(frozen=True, kw_only=True)
class Command:
    """A curl line of the page."""

    method: str
    path: str
    body: dict[str, Any] | None


def section(heading: str) -> str:
    level = heading.partition(" ")[0]
    text = PAGE.split(f"\n{heading}\n")[1]
    return re.split(rf"^#{{2,{len(level)}}} ", text, maxsplit=1, flags=re.MULTILINE)[0]


def rows(heading: str) -> dict[str, list[str]]:
    """The cells of the section's tables by the name in the first."""
    lines = re.findall(r"^\| `([\w.]+)` \| (.+) \|$", section(heading).split("\n### ")[0], re.MULTILINE)
    return {name: cells.split(" | ") for name, cells in lines}


def commands() -> list[Command]:
    found = []
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
        for line in re.split(r"^(?=curl )", block.replace("\\\n", " "), flags=re.MULTILINE):
            if not line.startswith("curl "):
                continue
            [path] = re.findall(r"localhost:8000(/[^\s'?]*)", line)
            body = re.search(r"-d '(.*)'", line, re.DOTALL)
            asked = re.search(r"-X (\w+)", line)
            method = asked[1] if asked else "POST" if re.search(r" -[dF] ", line) else "GET"
            found.append(Command(method=method, path=path, body=json.loads(body[1]) if body else None))
    return found


def json_blocks() -> list[dict[str, Any]]:
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


def is_job(body: dict[str, Any]) -> bool:
    return {"model", "dataset"} <= body.keys()


def branches(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [leaf for branch in schema["anyOf"] for leaf in branches(branch)] if "anyOf" in schema else [schema]


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Made once: it takes half a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNERY_HOME", str(tmp_path_factory.mktemp("home")))
        reset_process_state()
        answer: dict[str, Any] = create_app().openapi()
    reset_process_state()
    return answer


@pytest.fixture(scope="module")
def routes(schema: dict[str, Any]) -> Routes:
    return {(method.upper(), path) for path, methods in schema["paths"].items() for method in methods}


@pytest.mark.parametrize("heading", TABLES)
def test_the_table_has_the_fields_of_the_model_and_no_other(heading: str) -> None:
    assert list(rows(heading)) == list(TABLES[heading].model_fields)


@pytest.mark.parametrize(("heading", "name"), FIELDS)
def test_the_table_gives_the_default(heading: str, name: str) -> None:
    model = TABLES[heading]
    default = rows(heading)[name][0]
    if model.model_fields[name].is_required():
        assert default == "required"
    else:
        expected = model.model_fields[name].get_default(call_default_factory=True)
        told = json.loads(default.strip("`"))
        assert (type(expected).model_validate(told) if isinstance(expected, BaseModel) else told) == expected


@pytest.mark.parametrize("name", TrainingSpec.model_fields)
def test_the_table_of_hyperparameters_gives_the_range(name: str) -> None:
    allowed = rows("### Fields of `training`")[name][1]
    parts = branches(TrainingSpec.model_json_schema()["properties"][name])
    bounds = {(sign, float(part[key])) for part in parts for key, sign in BOUNDS.items() if key in part}
    assert {(sign, float(number)) for sign, number in re.findall(r"([≥>≤<]) (-?[\d.]+)", allowed)} == bounds
    choices = {value for part in parts for value in part.get("enum", ())}
    where = section("### Fields of `training`") if allowed == "one of a list" else allowed
    assert choices <= set(re.findall(r"`(\w+)`", where))


def test_every_field_that_can_be_auto_is_told_what_it_becomes() -> None:
    found = set()
    for prefix, model in (
        ("", JobSpec),
        ("dataset.", DatasetSpec),
        ("columns.", ColumnsSpec),
        ("training.", TrainingSpec),
    ):
        for name, field in model.model_json_schema()["properties"].items():
            if any(part.get("const") == "auto" for part in branches(field)):
                found.add(prefix + name)
    assert set(rows('### What `"auto"` becomes')) == found


def test_what_auto_becomes_has_the_numbers_of_the_recipe() -> None:
    from worker.trainer.base_model import DEFAULT_MAX_LENGTH
    from worker.trainer.data import VALIDATION_FRACTION
    from worker.trainer.preparation import EVAL_BATCH_SIZE

    numbers = {
        "dataset.validation": {VALIDATION_FRACTION},
        "training.num_train_epochs": {recipe.NUM_TRAIN_EPOCHS},
        "training.per_device_train_batch_size": {recipe.SMALL_BATCH_SIZE, recipe.SMALL_DATASET, recipe.BATCH_SIZE},
        "training.per_device_eval_batch_size": {EVAL_BATCH_SIZE},
        "training.learning_rate": {
            recipe.NARROW_HIDDEN_SIZE,
            recipe.LEARNING_RATE_OF_NARROW_MODELS,
            recipe.SMALL_DATASET,
            recipe.LEARNING_RATE_OF_NARROW_MODELS_ON_SMALL_DATA,
            recipe.LEARNING_RATE,
            recipe.LARGE_HIDDEN_SIZE,
            recipe.LEARNING_RATE_OF_LARGE_MODELS,
            recipe.ADAPTER_RATE_FACTOR,
            recipe.MOST_OF_AN_ADAPTER,
            recipe.LEARNING_RATE_OF_T5,
            recipe.LEARNING_RATE_OF_T5_ADAPTERS,
        },
        "training.warmup_steps": {recipe.WARMUP},
        "training.weight_decay": {recipe.WEIGHT_DECAY},
        "training.max_length": {DEFAULT_MAX_LENGTH},
        "training.logging_steps": {recipe.NUM_LOSS_POINTS, recipe.MAX_LOGGING_STEPS},
    }
    for name, cells in rows('### What `"auto"` becomes').items():
        assert {float(number) for number in re.findall(r"`(\d[\de.-]*)`", cells[1])} == numbers.get(name, set()), name


def test_the_table_of_routes_is_that_of_the_openapi_schema(routes: Routes) -> None:
    table = PAGE.split("\n## ")[0]
    assert {(m, path) for m, path in re.findall(r"`(GET|POST|PUT|DELETE) (/[^`?]*)`", table)} == routes


def test_every_route_and_link_elsewhere_on_the_page_exists(client: TestClient, routes: Routes) -> None:
    named = set(re.findall(r"`(GET|POST|PUT|DELETE) (/[^`?]*)(?:\?[^`]*)?`", PAGE))
    assert named <= routes | NOT_IN_THE_SCHEMA
    assert all(client.get(path).status_code == 200 for _, path in NOT_IN_THE_SCHEMA)


@pytest.mark.parametrize("command", commands(), ids=lambda command: f"{command.method} {command.path}")
def test_a_curl_line_calls_a_route_that_exists(command: Command, routes: Routes) -> None:
    templates = [(method, re.sub(r"\\\{\w+\\\}", r"[^/]+", re.escape(path))) for method, path in routes]
    assert any(method == command.method and re.fullmatch(path, command.path) for method, path in templates)


def test_every_job_on_the_page_is_a_job() -> None:
    jobs = [
        body for body in [*json_blocks(), *(c.body for c in commands() if c.path == "/jobs")] if body and is_job(body)
    ]
    assert len(jobs) >= 3
    for job in jobs:
        JobSpec.model_validate(job)


def test_every_sweep_on_the_page_is_one() -> None:
    bodies = [command.body for command in commands() if command.path == "/sweeps"]
    assert bodies
    for body in bodies:
        SweepSpec.model_validate(body)


def test_every_question_on_the_page_is_one() -> None:
    questions = [command.body for command in commands() if command.path == "/predict"]
    assert questions
    for question in questions:
        PredictRequest.model_validate(question)


def test_every_prediction_of_a_file_on_the_page_is_one() -> None:
    bodies = [command.body for command in commands() if command.path == "/predict/batch"]
    assert bodies
    for body in bodies:
        PredictionSpec.model_validate(body)


def test_every_answer_on_the_page_has_members_of_an_answer_of_the_api(schema: dict[str, Any]) -> None:
    known = [set(model.get("properties", ())) for model in schema["components"]["schemas"].values()]
    answers = [block for block in json_blocks() if not is_job(block)]
    assert len(answers) > 10
    assert [answer for answer in answers if not any(answer.keys() <= members for members in known)] == []
